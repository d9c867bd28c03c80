#!/usr/bin/env python3
"""Makes examples/fleet/org.json: an invented organisation of 1,001 people.

    make-org.py            writes fleet/org.json beside this script
    make-org.py --check    says whether the file there is what would be written
    make-org.py --stdout   prints it

The same seed always gives the same people. `--size 10` makes ten of each
department, `--domain` puts it on another server.
"""

import argparse
import json
import pathlib
import random
import sys
import unicodedata

SEED = 1914
DOMAIN = "fleet.example"

FIRST = """
Adaeze Agnes Aino Akira Alban Alda Amara Anneli Anouk Arvid Aylin Bahar Balint
Bente Birgit Bogdan Bram Brigida Cagla Casimir Chidi Clelia Cosima Dag Danuta
Desta Dimitra Djamila Doortje Edda Eero Eilis Elodie Emre Enikő Esra Fabrice
Farid Fenna Filippa Firmin Frida Gerda Gioia Goran Greta Gudrun Hakim Hanneke
Haruto Hedvig Hilde Ilse Imke Ines Ingrid Ishaan Ivana Jamila Janek Jelena
Joaquim Jorun Jytte Kalle Kamala Katinka Kenji Kerstin Kirsi Kofi Lamine Leena
Leyla Linnea Ljuba Lotte Ludovic Maarten Magda Malin Marek Mathilde Meera Mirja
Nadège Naoko Nikolai Nneka Odile Olav Onur Orsolya Ottilie Paavo Padma Pernille
Petra Pilar Quirin Ragnhild Rahel Ravi Renske Roswitha Ruben Sadia Saskia Sefa
Sigrid Sindre Solveig Søren Stelian Sunniva Tadeusz Takumi Tamsin Teodor Thandi
Tilda Tove Ulrike Umberto Valdis Vanja Veikko Vikram Wanda Wiebke Willem Xanthe
Yasmin Yusuf Zdenka Zofia Åsa Émile Ömer
""".split()

LAST = """
Achterberg Adeyemi Aho Almqvist Anand Arslan Bakke Baranski Basso Bekele
Bellweather Berglund Bianchi Brandsma Bruun Cardoso Castelli Chaudhary Corbeau
Dahlgren Danjuma Delacroix Demir Dervishi Dlamini Dupuis Eklund Engberg Eriksen
Falkenrath Farkas Fontana Forsberg Gaspar Ghosh Girard Grimaldi Haapala Hagen
Halvorsen Hashimoto Heikkinen Hollander Horvat Ibsen Ikeda Iyer Jankowska Jokela
Kaplan Kariuki Kasprzak Keskinen Kimura Kjellberg Kowalczyk Krogh Kuiper Laurent
Lindqvist Løvland Lunde Madsen Maes Marchetti Mbeki Mehta Moreau Murakami Naidoo
Nakagawa Nikolaidis Nordin Novotny Nyberg Obi Okafor Olsson Ozturk Pajari Papp
Pavlova Pedersen Pires Quist Rantala Rasmussen Renard Rinaldi Rossi Saarinen
Sandvik Schreiber Šimek Skov Solberg Sørensen Steensma Sundaram Szabo Tanaka
Tchaikov Terzi Toivonen Tvedt Uzun Vandamme Vasquez-Lind Verhoeven Vogel Wikström
Winther Wozniak Yamada Yilmaz Zielinski Zoltan
""".split()

# Of two departments, Tooling and Insights are teams in both.
DEPARTMENTS = [
    ("Research", 240, ["Tooling", "Robotics", "Materials", "Insights"],
     ["Scientist", "Senior Scientist", "Lab Technician"]),
    ("Manufacturing", 220, ["Tooling", "Assembly", "Quality & Safety"],
     ["Process Engineer", "Line Planner", "Quality Inspector"]),
    ("Field Service", 180, ["North", "South", "Spare Parts"],
     ["Service Engineer", "Dispatcher", "Site Technician"]),
    ("Logistics", 140, ["Warehousing", "Transport"],
     ["Load Planner", "Customs Clerk", "Freight Analyst"]),
    ("Customer Care", 120, ["First Line", "Insights"],
     ["Care Specialist", "Senior Care Specialist"]),
    ("Treasury", 60, ["Ledger", "Audit"],
     ["Bookkeeper", "Auditor"]),
    ("Workplace", 40, ["Hiring"],
     ["Talent Partner", "Workplace Coordinator"]),
]

CEO = ("Philippa Tidewater", "philippa.tidewater")

# Letters that have no decomposition into a base letter and a mark.
PLAIN = str.maketrans({"ø": "o", "æ": "ae", "ł": "l", "đ": "d", "ß": "ss"})


class People:
    def __init__(self, seed, domain):
        self.random = random.Random(seed)
        self.domain = domain
        self.taken = set()
        self.all = []

    def pick(self, items):
        # choice() may differ between versions of Python, random() does not.
        return items[int(self.random.random() * len(items))]

    def name(self):
        for _ in range(1000):
            name = f"{self.pick(FIRST)} {self.pick(LAST)}"
            if localpart(name) not in self.taken:
                break
        else:
            name = f"{self.pick(FIRST)} {self.pick(LAST)} {len(self.all)}"
        return name

    def add(self, level, title, department, team, boss, who=None):
        name, local = who or (self.name(), None)
        local = local or localpart(name)
        self.taken.add(local)
        person = {
            "name": name,
            "title": title,
            "level": level,
            "department": department,
            "team": team,
            "matrixId": f"@{local}:{self.domain}",
            "reportsTo": boss["matrixId"] if boss else None,
            "directReports": [],
        }
        if boss:
            boss["directReports"].append(person["matrixId"])
        self.all.append(person)
        return person


def localpart(name):
    """Åsa Vasquez-Lind: asa.vasquez-lind"""
    plain = unicodedata.normalize("NFKD", name.lower().translate(PLAIN))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return plain.replace(" ", ".")


def split(total, parts):
    """total as evenly as it goes, the larger parts first."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def make_department(people, ceo, name, size, teams, titles):
    vp = people.add("VP", f"VP of {name}", name, None, ceo)
    for team, n in zip(teams, split(size - 1, len(teams))):
        director = people.add(
            "Director", f"Director of {team}", name, team, vp)
        managers = max(1, (n - 1) // 7)
        for below in split(n - 1 - managers, managers):
            manager = people.add(
                "Manager", f"{team} Manager", name, team, director)
            for _ in range(below):
                people.add("IC", people.pick(titles), name, team, manager)
    return {
        "name": name,
        "vp": vp["matrixId"],
        "teams": teams,
        "headcount": size,
    }


def make_org(domain, size):
    people = People(SEED, domain)
    ceo = people.add("CEO", "CEO", "Executive", None, None, CEO)
    departments = [
        make_department(
            people, ceo, f"{name} {i + 1}" if i else name, *rest)
        for i in range(size)
        for name, *rest in DEPARTMENTS
    ]
    return {"departments": departments, "people": people.all}


def main():
    args = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("--check", action="store_true")
    args.add_argument("--stdout", action="store_true")
    args.add_argument("--domain", default=DOMAIN)
    args.add_argument("--size", type=int, default=1)
    args = args.parse_args()

    org = make_org(args.domain, args.size)
    text = json.dumps(org, indent=2, ensure_ascii=False) + "\n"
    path = pathlib.Path(__file__).resolve().parent / "fleet" / "org.json"
    if args.stdout:
        sys.stdout.write(text)
    elif not args.check:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        sys.exit(f"{path}: is not what {sys.argv[0]} makes: run it again")


if __name__ == "__main__":
    main()
