# fish completion of muster-agent; made by scripts/pages.py from the tables of verbs and options.

complete -c muster-agent -f
complete -c muster-agent -n 'not __fish_seen_subcommand_from run help version' -a run -d 'wait for the token, give it to a program and run it'
complete -c muster-agent -n 'not __fish_seen_subcommand_from run help version' -a help -d 'how it is used'
complete -c muster-agent -n 'not __fish_seen_subcommand_from run help version' -a version -d 'the version'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l runtime -x -a '(__fish_complete_directories)' -d 'where the hand-off lies (default: $RUNTIME_PATH)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l for -x -a 'env file template openclaw' -d 'how PROGRAM wants its token: env, file, template, openclaw (default: env)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l output -r -F -d 'where the token goes (--for file: default a private temporary file)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l template -r -F -d 'with --for template: what is filled'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l reload -x -a 'none restart signal:HUP' -d 'how PROGRAM comes to a new token: none, restart, signal:HUP (default: restart with --for env, else none)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l pause -x -d 'what pauses PROGRAM before its token is replaced'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l resume -x -d 'and what lets it go on'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l workspace -x -a '(__fish_complete_directories)' -d 'with --for openclaw: the workspace (default: $WORKSPACE_PATH, else /workspace)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l merge -r -F -d 'with --for openclaw: the fleet\'s openclaw.json'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l once -d 'deliver, acknowledge and exit; PROGRAM is not started'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l deadline -x -d 'how long to wait for the hand-off (default: 120s)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l check -x -d 'how often to ask whether the token still works (default: 60s)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l homeserver -x -d 'instead of the one that the hand-off names (default: $MATRIX_HOMESERVER)'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l ca-file -r -F -d 'the certificate authority of the homeserver, where it is a private one'
complete -c muster-agent -n '__fish_seen_subcommand_from run' -l help -d 'this text'

# What stands behind `--`, as a line of its own.
function __muster_agent_program
	set -l line (commandline -opc)
	set -e line[1..(contains -i -- -- $line)]
	complete -C (string join ' ' -- (string escape -- $line) (commandline -ct))
end
complete -c muster-agent -n 'contains -- -- (commandline -opc)' \
	-a '(__muster_agent_program)'
