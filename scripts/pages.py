#!/usr/bin/env python3
"""Writes what repeats the tables of verbs, options and settings: the shell
completions, and their parts of the manual pages.

    scripts/pages.py [--check] MUSTER MUSTER-AGENT

The tables are asked of the two programs. In the pages in docs/man these parts
are made: what stands between `.\\" generated: NAME` and `.\\" end`, and the
heads of the paragraphs on verbs and settings. All else there is written by
hand. With --check nothing is written, and the status is 1 when a file is not as
it would be.
"""

import json
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Values that are names of files; others are completed with nothing.
FILES = {"FILE", "NEW.yaml"}
FOLDERS = {"DIR"}
# Those that are one of some words, which the option's help lists.
CHOICES = {"WAY", "HOW"}
BY = "made by scripts/pages.py from the tables of verbs and options."


class Stale(Exception):
    """The pages and the tables do not fit together by themselves."""


# -- the tables


def tables(muster, agent):
    """Those of both programs; of muster-agent's options as its help has
    them."""
    both = json.loads(run(muster, "help", "--json"))
    lines = run(agent, "run", "--help").splitlines()
    found = [re.match(r"  --(\S+)(?: (\S+))? +(\S.*)$", line)
             for line in lines]
    both["agent"] = [{"name": m[1], "value": m[2], "help": m[3]}
                     for m in found if m]
    return both


def run(*argv):
    return subprocess.run(argv, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def of_all(options):
    return [o for o in options if not o["verbs"]]


def of_verb(verb, options):
    return [o for o in options if verb["name"] in o["verbs"]]


# -- manual pages


def words_of(args):
    return re.findall(r"[][|]|\.\.\.|--?[A-Za-z-]+|[^][|\s]+?(?=\.\.\.|[][|\s]"
                      r"|$)", args)


def macros(word):
    """A word of a verb's arguments in mdoc."""
    if word.startswith("--"):
        return f"Fl {word[1:]}"
    if word in ("...", "|"):
        return word
    if word[0].isupper():
        return "Ar " + (word if len(word) == 1 else
                        re.sub("^[A-Z]+", lambda m: m[0].lower(), word))
    return f"Cm {word}"


def joined(words):
    """Macros one after the other; of two Ar the second is only a word."""
    line = []
    for word in words:
        macro = macros(word)
        last = [w for w in line if w[:3] in ("Ar ", "Fl ", "Cm ")][-1:]
        if macro[:3] == "Ar " and last and last[0][:3] == "Ar ":
            macro = macro[3:]
        line.append(macro)
    return " ".join(line)


def groups(args):
    """[(whether it may be left out, its words)], of a verb's arguments."""
    found, words, optional = [], [], False
    for word in words_of(args):
        if word in "[]":
            if words:
                found.append((optional, words))
            words, optional = [], word == "["
        else:
            words.append(word)
    if words:
        found.append((optional, words))
    return found


def in_line(args):
    """All on one line, where Op would hold whatever follows."""
    out = ""
    for optional, words in groups(args):
        if optional:
            out += f" Oo {joined(words)} Oc"
        elif "|" in words:
            out += f" Bro {joined(words)} Brc"
        else:
            out += f" {joined(words)}"
    return out


def synopsis(verbs):
    lines = [".Nm muster", ".Op Fl c Ar muster.yaml", ".Ar verb",
             ".Op Fl -json"]
    for verb in verbs:
        if verb["args"]:
            lines += [".Nm muster", f".Cm {verb['name']}"]
            lines += [f".Op {joined(words)}" if optional else
                      f".{joined(words)}"
                      for optional, words in groups(verb["args"])]
    return lines


def escaped(text):
    """As a line of its own."""
    text = text.replace("\\", "\\e")
    return "\\&" + text if text[0] in ".'" else text


def option_items(options):
    lines = []
    for o in options:
        value = f" {macros(o['value'])}" if o["value"] else ""
        lines += [f".It Fl -{o['name']}{value}", "Of",
                  f".Cm {' , '.join(o['verbs'])} :",
                  escaped(o["help"]) + "."]
    return lines


def examples(verbs):
    return ([".Bd -literal -offset indent"] +
            [escaped(f"$ {verb['example']}") for verb in verbs] + [".Ed"])


def reloadable(settings):
    """A section as one word where all of it is so."""
    def section(path):
        return path.split(".")[0]
    words = []
    for s in settings:
        whole = all(o["reloadable"] for o in settings
                    if section(o["path"]) == section(s["path"]))
        word = section(s["path"]) if whole else s["path"]
        if s["reloadable"] and word not in words:
            words.append(word)
    lines = [".Ic " + " , ".join(words[i:i + 3]) + " ,"
             for i in range(0, len(words) - 1, 3)]
    if len(words) % 3 != 1:
        lines[-1] = lines[-1].rsplit(" , ", 1)[0]
    return lines + ["and", f".Ic {words[-1]}"]


def setting_head(setting, paths):
    text = setting["help"]
    other = re.search(r"default: (\S+)$", text)
    facts = []
    if "must be given" in text:
        return f".It Ic {setting['path']} No (must be given)"
    if other and other[1] in paths:
        facts.append(f"default: Ic {other[1]}")
    default = setting["default"]
    if default and default[0] not in "[{":
        facts.append(f"default: Li {default}")
    if ".." in (setting["allowed"] or ""):
        low, high = setting["allowed"].split("..")
        facts.append(f"{low} to {high}")
    head = f".It Ic {setting['path']}"
    return head + f" No ({' ; '.join(facts)} )" if facts else head


def verb_head(verb):
    return f".It Cm {verb['name']}{in_line(verb['args'])}"


def filled(text, parts):
    for name, lines in parts.items():
        text, n = re.subn(
            rf'(?ms)^(\.\\" generated: {name}\n).*?(^\.\\" end$)',
            lambda m, lines=lines: m[1] + "".join(
                f"{line}\n" for line in lines) + m[2], text)
        if n != 1:
            raise Stale(f"{name} is to be made {n} times, not once")
    return text


def with_heads(text, heads, pattern, what):
    """Each head replaces the one of this name, which must be there once, in
    the tables' order."""
    found = []

    def one(m):
        if m[1] not in heads:
            return m[0]
        found.append(m[1])
        return heads[m[1]]
    text = re.sub(pattern, one, text, flags=re.M)
    if sorted(found) != sorted(heads):
        missing = sorted(set(heads) - set(found))
        raise Stale(f"{what} without a paragraph, or with two: "
                    f"{', '.join(missing or found)}")
    return text


def page_of_muster(text, t):
    before, verbs, after = re.split(
        r"(?ms)^(\.Ss Verbs$.*?)(?=^\.Sh )", text)
    verbs = with_heads(verbs, {v["name"]: verb_head(v) for v in t["verbs"]},
                       r"^\.It Cm (\S+).*$", "verbs")
    own = [o for o in t["options"] if o["verbs"]]
    return filled(before + verbs + after, {
        "synopsis": synopsis(t["verbs"]), "options": option_items(own),
        "examples": examples(t["verbs"])})


def page_of_settings(text, t):
    paths = {s["path"] for s in t["settings"]}
    # One that is only another way to write namespace.
    heads = {s["path"]: setting_head(s, paths) for s in t["settings"]
             if s["path"] != "namespace.prefix"}
    text = with_heads(text, heads, r"^\.It Ic (\S+).*$", "settings")
    return filled(text, {"reloadable": reloadable(t["settings"])})


def agent_synopsis(options):
    """Of `run` with a program; the other one says what goes with --once."""
    lines = [".Nm muster-agent", ".Cm run"]
    for o in options:
        value = (f" Cm {' | '.join(choices(o))}" if choices(o) else
                 f" {macros(o['value'])}" if o["value"] else "")
        if o["name"] not in ("once", "help"):
            lines.append(f".Op Fl -{o['name']}{value}")
    return lines + [".Fl -", ".Ar program", ".Op Ar argument ..."]


def page_of_agent(text, t):
    """By hand, but for the options of a line, and what is there at all."""
    for option in t["agent"]:
        if option["name"] != "help" and not re.search(
                rf"^\.It .*Fl -{option['name']}\b", text, re.M):
            raise Stale(f"muster-agent --{option['name']} without a "
                        "paragraph")
    return filled(text, {"synopsis": agent_synopsis(t["agent"])})


# -- completions


def choices(option):
    """The words that its value is one of, as its help lists them."""
    if option["value"] not in CHOICES:
        return []
    found = re.search(r": ([^:(]+(?::[A-Z]+)?) \(default", option["help"])
    return found[1].split(", ")


def kind_of(value):
    return ("files" if value in FILES else
            "folders" if value in FOLDERS else "none")


# Behind `--` there is another program's line.
BASH_PROGRAM = """\
\tfor ((i = 1; i < COMP_CWORD; i++)); do
\t\t[[ ${COMP_WORDS[i]} == -- ]] || continue
\t\tif declare -F _command_offset > /dev/null; then
\t\t\t_command_offset $((i + 1))
\t\telif ((i + 1 == COMP_CWORD)); then
\t\t\tmapfile -t COMPREPLY < <(compgen -c -- "$word")
\t\telse
\t\t\tmapfile -t COMPREPLY < <(compgen -f -- "$word")
\t\tfi
\t\treturn
\tdone""".split("\n")


def bash_program(name, first, cases, options, program=()):
    """first: completed when there is no verb yet."""
    valued = {kind: sorted({f"--{o['name']}" for o in options
                            if o["value"] and kind_of(o["value"]) == kind})
              for kind in ("files", "folders", "none")}
    if name == "muster":
        valued["files"].append("-c")
    every = [o for group in valued.values() for o in group]
    function = f"_{name.replace('-', '_')}"
    lines = [f"# bash completion of {name}; {BY}", "", f"{function}() {{",
             "\tlocal word=${COMP_WORDS[COMP_CWORD]}",
             "\tlocal last=${COMP_WORDS[COMP_CWORD - 1]} verb='' words='' i",
             "\tCOMPREPLY=()", *program, "\tcase $last in"]
    for o in options:
        if choices(o):
            lines += [f"\t--{o['name']})", "\t\tmapfile -t COMPREPLY "
                      f"< <(compgen -W '{' '.join(choices(o))}' -- \"$word\")",
                      "\t\treturn ;;"]
    for kind, how in (("files", "-f"), ("folders", "-d")):
        if valued[kind]:
            lines += [f"\t{'|'.join(valued[kind])})", "\t\tmapfile -t COMPREPLY "
                      f"< <(compgen {how} -- \"$word\")", "\t\treturn ;;"]
    if valued["none"]:
        lines += [f"\t{'|'.join(valued['none'])}) return ;;"]
    lines += ["\tesac", "\tfor ((i = 1; i < COMP_CWORD; i++)); do",
              "\t\tcase ${COMP_WORDS[i]} in",
              f"\t\t{'|'.join(every)}) ((i++)) ;;",
              "\t\t-*) ;;", "\t\t*) verb=${COMP_WORDS[i]}; break ;;",
              "\t\tesac", "\tdone", "\tcase $verb in",
              f"\t'') words='{' '.join(first)}' ;;"]
    for verb, words, how in cases:
        lines += [f"\t{verb})", f"\t\twords='{' '.join(words)}'"]
        if how:
            lines += ["\t\tmapfile -t COMPREPLY "
                      f"< <(compgen {how} -- \"$word\")"]
        lines += ["\t\t;;"]
    lines += ["\tesac", "\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <("
              "compgen -W \"$words\" -- \"$word\")", "}",
              f"complete -F {function} {name}", ""]
    return "\n".join(lines)


def long_names(options):
    return [f"--{o['name']}" for o in options]


def bare_words(verb, t):
    """What may follow that is a word of its own: of help, a verb."""
    if "VERB" in verb["args"]:
        return [v["name"] for v in t["verbs"]]
    return [w for w in words_of(verb["args"]) if w[0].islower()]


def wants(verb):
    return ("-d" if "DIR" in words_of(verb["args"]) else
            "-f" if "FILE" in words_of(verb["args"]) else None)


def bash_muster(t):
    common = of_all(t["options"])
    cases = [(v["name"], bare_words(v, t) +
              long_names(of_verb(v, t["options"]) + taken(v, common)),
              wants(v)) for v in t["verbs"]]
    return bash_program(
        "muster", [v["name"] for v in t["verbs"]] + long_names(common), cases,
        t["options"])


def taken(verb, common):
    return [o for o in common if o["name"] != "json" or verb["json"]]


AGENT_VERBS = [("run", "wait for the token, give it to a program and run it"),
               ("help", "how it is used"), ("version", "the version")]


def bash_agent(t):
    return bash_program(
        "muster-agent", [name for name, _ in AGENT_VERBS],
        [("run", long_names(t["agent"]), None)], t["agent"], BASH_PROGRAM)


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


ZSH_VALUES = {"files": "_files", "folders": "_files -/", "none": ""}


def zsh_option(o):
    text = re.sub(r"([\[\]:])", r"\\\1", o["help"])
    how = (f"({' '.join(choices(o))})".replace(":", "\\:") if choices(o)
           else ZSH_VALUES[kind_of(o["value"])] if o["value"] else "")
    value = f":{o['value']}:{how}" if o["value"] else ""
    return quoted(f"--{o['name']}[{text}]{value}")


def zsh_rest(verb, t):
    words = bare_words(verb, t)
    if words:
        return [quoted(f"*:word:({' '.join(words)})")]
    if wants(verb):
        return [quoted("*:folder:_files -/" if wants(verb) == "-d" else
                       "*:file:_files")]
    return []


def zsh_program(name, verbs, cases, common):
    function = f"_{name}"
    lines = [f"#compdef {name}", f"# zsh completion of {name}; {BY}", "",
             f"{function}() {{", "\tlocal context state line",
             "\ttypeset -A opt_args", "\tlocal -a verbs=("]
    lines += [f"\t\t{quoted(n + ':' + text.replace(':', chr(92) + ':'))}"
              for n, text in verbs]
    lines += ["\t)", "\t_arguments -C \\"]
    lines += [f"\t\t{zsh_option(o)} \\" for o in common]
    if name == "muster":
        lines += ["\t\t'-c[the configuration]:FILE:_files' \\"]
    lines += ["\t\t'1:verb:->verb' '*::rest:->rest'", "\tcase $state in",
              "\tverb) _describe verb verbs ;;", "\trest)",
              "\t\tcase $line[1] in"]
    for verb, words in cases:
        # Behind `--` there is another program's line.
        alone = " -S" if any("_normal" in w for w in words) else ""
        lines += [f"\t\t{verb})", f"\t\t\t_arguments{alone} \\"]
        lines += [f"\t\t\t\t{w} \\" for w in words[:-1]]
        lines += [f"\t\t\t\t{words[-1]} ;;"]
    lines += ["\t\tesac ;;", "\tesac", "}", f'{function} "$@"', ""]
    return "\n".join(lines)


def zsh_muster(t):
    common = of_all(t["options"])
    cases = [(v["name"], [zsh_option(o) for o in of_verb(v, t["options"]) +
                          taken(v, common)] + zsh_rest(v, t))
             for v in t["verbs"]]
    return zsh_program("muster", [(v["name"], v["help"]) for v in t["verbs"]],
                       cases, common)


def zsh_agent(t):
    return zsh_program(
        "muster-agent", AGENT_VERBS,
        [("run", [zsh_option(o) for o in t["agent"]] +
          [quoted("(-)1:program:_command_names -e"),
           quoted("*::argument:_normal")])], [])


FISH_VALUES = {"files": " -r -F", "folders": " -x -a '(__fish_complete_"
               "directories)'", "none": " -x"}


def fish_option(name, o, condition):
    value = (f" -x -a {fish_quoted(' '.join(choices(o)))}" if choices(o) else
             FISH_VALUES[kind_of(o["value"])] if o["value"] else "")
    short = " -s c" if (name, o["name"]) == ("muster", "config") else ""
    return (f"complete -c {name}{condition}{short} -l {o['name']}{value} "
            f"-d {fish_quoted(o['help'])}")


def fish_quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_program(name, verbs):
    lines = [f"# fish completion of {name}; {BY}", "", f"complete -c {name} -f"]
    none = "not __fish_seen_subcommand_from " + " ".join(n for n, _ in verbs)
    return lines + [f"complete -c {name} -n '{none}' -a {n} "
                    f"-d {fish_quoted(text)}" for n, text in verbs]


def fish_after(verb):
    return f" -n '__fish_seen_subcommand_from {verb}'"


def fish_muster(t):
    lines = fish_program(
        "muster", [(v["name"], v["help"]) for v in t["verbs"]])
    lines += [fish_option("muster", o, "") for o in of_all(t["options"])]
    for verb in t["verbs"]:
        after = fish_after(verb["name"])
        lines += [fish_option("muster", o, after)
                  for o in of_verb(verb, t["options"])]
        if bare_words(verb, t):
            lines.append(f"complete -c muster{after} -a "
                         f"'{' '.join(bare_words(verb, t))}'")
        if wants(verb):
            lines.append(f"complete -c muster{after} -a "
                         "'(__fish_complete_directories)'"
                         if wants(verb) == "-d" else
                         f"complete -c muster{after} -F")
    return "\n".join(lines + [""])


FISH_PROGRAM = r"""
# What stands behind `--`, as a line of its own.
function __muster_agent_program
	set -l line (commandline -opc)
	set -e line[1..(contains -i -- -- $line)]
	complete -C (string join ' ' -- (string escape -- $line) (commandline -ct))
end
complete -c muster-agent -n 'contains -- -- (commandline -opc)' \
	-a '(__muster_agent_program)'""".split("\n")


def fish_agent(t):
    lines = fish_program("muster-agent", AGENT_VERBS)
    lines += [fish_option("muster-agent", o, fish_after("run"))
              for o in t["agent"]] + FISH_PROGRAM
    return "\n".join(lines + [""])


# -- all of them

PAGES = {"docs/man/muster.1": page_of_muster,
         "docs/man/muster.yaml.5": page_of_settings,
         "docs/man/muster-agent.1": page_of_agent}
COMPLETIONS = {"completions/muster": bash_muster,
               "completions/muster-agent": bash_agent,
               "completions/_muster": zsh_muster,
               "completions/_muster-agent": zsh_agent,
               "completions/muster.fish": fish_muster,
               "completions/muster-agent.fish": fish_agent}


def read(path):
    try:
        with open(os.path.join(TOP, path), encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def wanted(t):
    """{path: what should be in it}"""
    files = {path: make(t) for path, make in COMPLETIONS.items()}
    for path, make in PAGES.items():
        try:
            files[path] = make(read(path), t)
        except Stale as e:
            sys.exit(f"{path}: {e}: write it, then `make pages`")
    return files


def main():
    words = sys.argv[1:]
    check = words[:1] == ["--check"]
    if len(words) != 2 + check:
        sys.exit(__doc__)
    stale = {path: text for path, text in wanted(tables(*words[-2:])).items()
             if read(path) != text}
    for path, text in stale.items():
        if check:
            print(f"{path} is not as the tables are: `make pages`",
                  file=sys.stderr)
            continue
        with open(os.path.join(TOP, path), "w", encoding="utf-8") as f:
            f.write(text)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
