/*
 * tests/unit/fleet_texts.h: the text of small organisations, and of the
 * configuration that chooses from them.
 */
#ifndef TESTS_UNIT_FLEET_TEXTS_H
#define TESTS_UNIT_FLEET_TEXTS_H

/* A person of org.json on a line of its own. */
#define P(name, level, dept, team, id, boss)                                   \
	"{\"name\":\"" name "\",\"level\":\"" level                            \
	"\",\"department\":\"" dept "\",\"team\":" team ",\"matrixId\":\"" id  \
	":example.org\",\"reportsTo\":" boss "}"
#define B(id) "\"" id ":example.org\""
#define ORG(people) "{\"people\":[\n" people "\n]}\n"
#define CEO P("Zoe Chief", "CEO", "Executive", "null", "@zoe", "null")

#define SMALL_ORG                                                              \
	ORG(CEO ",\n" P("Vera", "VP", "Lab", "null", "@vera",                  \
		B("@zoe")) ",\n" P("Dora", "Director", "Lab", "\"Core\"",      \
		"@dora", B("@vera")) ",\n" P("Mia", "Manager", "Lab",          \
		"\"Core\"", "@mia", B("@dora")) ",\n" P("Ida", "IC", "Lab",    \
		"\"Core\"", "@ida", B("@mia")) ",\n" P("Ola", "IC", "Lab",     \
		"\"Core\"", "@ola", B("@mia")))
#define CONFIG(counts)                                                         \
	"ceo: {name: Zoe Chief, matrixId: \"@zoe:example.org\"}\n"             \
	"departments:\n"                                                       \
	"  Lab: {enabled: true, " counts "}\n"

#endif
