"""What nobody should send to a service, as a table: each row is a request,
what must be answered, and what must be in the store afterwards. Every row has
rooms, users and a transaction of its own: <n> stands for its number, of four
digits. JSON is text here, since much of it is none; raw() writes bytes that are
no UTF-8."""

import json
import re
from typing import NamedTuple

ROOM = "!r<n>:hs"
USER = "@u<n>:hs"
BEFORE, AFTER = "@before<n>:hs", "@after<n>:hs"
NEIGHBOURS = {(ROOM, BEFORE): "join", (ROOM, AFTER): "join"}
APPLIED = {(ROOM, USER): "join"}
V1 = "/_matrix/app/v1"
TXN = f"{V1}/transactions/t<n>"
TOKEN = "Authorization: Bearer <token>\r\n"


class Row(NamedTuple):
    name: str
    sends: tuple              # ((from the first byte to the last, status), ...)
    errcode: str = None       # of those that are refused
    there: dict = {}          # all that is new: {(room, user): membership},
    state: dict = {}          # {(room, type): content},
    aside: tuple = ()         # ((index, a part of the reason), ...),
    rises: dict = {}          # and what is counted more
    txn: str = "t<n>"         # the transaction's id, where that is put aside
    page: bool = False        # the HTTP library's own answer, which is HTML


def raw(octets):
    return bytes.fromhex(octets).decode("ascii", "surrogateescape")


# -- requests


def request(line, body="", heads=TOKEN, length=None):
    size = len(body.replace("<n>", "0000").encode("utf-8", "surrogateescape"))
    return (f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{heads}"
            f"Content-Length: {size if length is None else length}\r\n\r\n"
            f"{body}")


def put(body):
    return request(f"PUT {TXN}", body)


# -- events


def member(state_key=f'"{USER}"', more="", **fields):
    """A member event; fields as JSON text, None: it does not have that one."""
    fields = {"type": '"m.room.member"', "event_id": '"$e<n>"',
              "room_id": f'"{ROOM}"', "sender": '"@s:hs"',
              "state_key": state_key, "origin_server_ts": "1",
              "content": '{"membership":"join"}', **fields}
    return "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()
                          if value is not None) + more + "}"


def good(user, event_id=None):
    return member(f'"{user}"', event_id=f'"${event_id or user[1:]}"')


def state(type, content, **fields):
    return member('""', type=f'"{type}"', content=content, **fields)


def message(more="", **fields):
    return member(None, **{"type": '"m.room.message"',
                           "content": '{"body":"x"}', **fields}, more=more)


def events(*texts):
    return '{"events":[' + ",".join(texts) + "]}"


def between(text):
    """A transaction of three: this event between two good ones."""
    return events(good(BEFORE), text, good(AFTER))


def rises(seen, events=0, quarantined=0, repeated=0):
    counted = {"seen": seen, "events": events, "quarantined": quarantined,
               "repeated": repeated}
    return {name: n for name, n in counted.items() if n}


def twice(text):
    """The second time it is known, and changes nothing."""
    return (text, 200), (text, 200)


def kept(name, text, reason):
    """An event that is put aside; its neighbours are applied."""
    return Row(name, twice(put(between(text))), there=NEIGHBOURS,
               aside=((1, reason),), rises=rises(2, 3, 1, 1))


def taken(name, text, there=APPLIED, **more):
    """An event that looks bad, and is not; {}: nobody is interested."""
    return Row(name, twice(put(between(text))),
               there={**NEIGHBOURS, **there}, rises=rises(2, 3, 0, 1), **more)


def ignored(name, text):
    return taken(name, text, there={})


def user(name, state_key):
    """A member event of a user whose id, as JSON text, is no everyday one."""
    return taken(f"user id: {name}", member(state_key), {
        (ROOM, json.loads(state_key)): "join"})


def room(name, room_id):
    return taken(f"room id: {name}", member(room_id=f'"{room_id}"'),
                 {(room_id, USER): "join"})


def long(sigil, size, end=":hs", fill="x"):
    """An identifier of so many bytes."""
    start = sigil + "0000"
    left = size - len((start + end).encode())
    times, rest = divmod(left, len(fill.encode()))
    return sigil + "<n>" + fill * times + "x" * rest + end


def nested(depth, open="[", close="]"):
    return open * depth + close * depth


TWICE = "a second time"

# One bad event never costs its neighbours (AS-35, AS-52), and what came before
# is known again (AS-53).
EVENTS = [
    # -- what is no event
    kept("null", "null", "expected an object, found null"),
    kept("true", "true", "expected an object, found a boolean"),
    kept("number", "3", "expected an object, found an integer"),
    kept("fraction", "1.5", "expected an object, found a number"),
    kept("1e400", "1e400", "expected an object"),
    kept("-0", "-0", "expected an object"),
    kept("number of 400 digits", "9" * 400, "expected an object"),
    kept("string", '"x"', "expected an object, found a string"),
    kept("array", "[]", "expected an object, found an array"),
    kept("array with an event in it", "[" + member() + "]",
         "expected an object, found an array"),
    kept("empty object", "{}", "type: expected a string, found nothing"),
    # -- fields that are missing, or of a wrong type
    kept("type missing", member(type=None), "type"),
    kept("type null", member(type="null"), "type"),
    kept("type number", member(type="5"), "type"),
    kept("type array", member(type='["m.room.member"]'), "type"),
    kept("event_id missing", member(event_id=None), "event_id"),
    kept("event_id null", member(event_id="null"), "event_id"),
    kept("event_id number", member(event_id="5"), "event_id"),
    kept("event_id object", member(event_id="{}"), "event_id"),
    kept("event_id empty", member(event_id='""'), "event_id"),
    kept("event_id only a sigil", member(event_id='"$"'), "event_id"),
    kept("event_id without its sigil", member(event_id='"e<n>"'), "event_id"),
    kept("room_id missing", member(room_id=None), "room_id"),
    kept("room_id null", member(room_id="null"), "room_id"),
    kept("room_id number", member(room_id="1.5"), "room_id"),
    kept("room_id array", member(room_id=f'["{ROOM}"]'), "room_id"),
    kept("room_id empty", member(room_id='""'), "room_id"),
    kept("room_id only a sigil", member(room_id='"!"'), "room_id"),
    kept("room_id is an alias", member(room_id='"#r<n>:hs"'), "room_id"),
    kept("origin_server_ts missing", member(origin_server_ts=None),
         "origin_server_ts"),
    kept("origin_server_ts null", member(origin_server_ts="null"),
         "origin_server_ts"),
    kept("origin_server_ts string", member(origin_server_ts='"1"'),
         "origin_server_ts"),
    kept("origin_server_ts boolean", member(origin_server_ts="true"),
         "origin_server_ts"),
    kept("origin_server_ts fraction", member(origin_server_ts="1.5"),
         "origin_server_ts"),
    kept("origin_server_ts exponent", member(origin_server_ts="1e3"),
         "origin_server_ts"),
    kept("origin_server_ts 1e400", member(origin_server_ts="1e400"),
         "origin_server_ts"),
    kept("origin_server_ts 2^53", member(origin_server_ts="9007199254740992"),
         "origin_server_ts"),
    kept("origin_server_ts 2^63",
         member(origin_server_ts="9223372036854775808"), "origin_server_ts"),
    kept("origin_server_ts of 400 digits", member(origin_server_ts="9" * 400),
         "origin_server_ts"),
    kept("origin_server_ts -2^53",
         member(origin_server_ts="-9007199254740992"), "origin_server_ts"),
    taken("origin_server_ts -0", member(origin_server_ts="-0")),
    taken("origin_server_ts before 1970", member(origin_server_ts="-1")),
    taken("origin_server_ts in the year 287396",
          member(origin_server_ts="9007199254740991")),
    kept("content missing", member(content=None), "content"),
    kept("content null", member(content="null"), "content"),
    kept("content array", member(content='[{"membership":"join"}]'),
         "content"),
    kept("content string", member(content='"join"'), "content"),
    kept("membership missing", member(content="{}"), "membership"),
    kept("membership null", member(content='{"membership":null}'),
         "membership"),
    kept("membership number", member(content='{"membership":1}'),
         "membership"),
    kept("membership object", member(content='{"membership":{}}'),
         "membership"),
    kept("membership empty", member(content='{"membership":""}'),
         "membership"),
    kept("membership in upper case", member(content='{"membership":"JOIN"}'),
         "membership"),
    kept("membership with a space", member(content='{"membership":"join "}'),
         "membership"),
    kept("membership of no kind", member(content='{"membership":"joined"}'),
         "membership"),
    kept("state_key null", member("null"), "state_key"),
    kept("state_key number", member("7"), "state_key"),
    kept("state_key array", member(f'["{USER}"]'), "state_key"),
    kept("state_key empty", member('""'), "state_key"),
    kept("state_key no user id", member('"u<n>"'), "state_key"),
    kept("state_key without a server", member('"@u<n>"'), "state_key"),
    kept("state_key with an empty server", member('"@u<n>:"'), "state_key"),
    kept("state_key null, of the room's state",
         member("null", type='"m.room.name"', content="{}"), "state_key"),
    kept("sender missing", member(sender=None), "sender"),
    kept("sender number", member(sender="5"), "sender"),
    kept("sender no user id", member(sender='"s"'), "sender"),
    # State is what has a state_key, whatever its type (AS-62); and a member
    # event that is none is nothing.
    kept("member event without state_key", member(None), "state_key"),
    ignored("room's name without state_key", message(type='"m.room.name"')),
    ignored("message with a state_key", member('""', type='"m.room.message"')),
    # What we do not use is not looked at, and may be missing (AS-66, AS-67).
    taken("unsigned number", member(more=',"unsigned":5')),
    taken("unsigned null", member(more=',"unsigned":null')),
    taken("age before its time", member(more=',"unsigned":{"age":-5}')),
    taken("room's state in an invitation that is none", member(
        content='{"membership":"invite"}',
        more=',"unsigned":{"invite_room_state":5}'),
          {(ROOM, USER): "invite"}),
    taken("room's state in a knock of strange things", member(
        content='{"membership":"knock"}', more=',"unsigned":{'
        '"knock_room_state":[null,{"type":"m.room.create","content":[]}]}'),
          {(ROOM, USER): "knock"}),
    taken("a fraction in the content",
          member(content='{"membership":"join","x.y":1.5}')),
    taken("1e400 in the content",
          member(content='{"membership":"join","x.y":1e400}')),
    taken("400 digits in the content",
          member(content='{"membership":"join","x.y":%s}' % ("9" * 400))),
    # -- state of the room that is used
    kept("room's state without content", state("m.room.join_rules", None),
         "content"),
    kept("room's state with an array for its content",
         state("m.room.power_levels", "[]"), "content"),
    kept("room's state without a time",
         state("m.room.tombstone", "{}", origin_server_ts=None),
         "origin_server_ts"),
    kept("room's state over 64 KiB",
         state("m.room.name", '{"name":"%s"}' % ("n" * 70000)), "content"),
    taken("power levels as words (AS-155)",
          state("m.room.power_levels", '{"users":{"@a:hs":" +100 "}}'), {},
          state={(ROOM, "m.room.power_levels"):
                 '{"users":{"@a:hs":" +100 "}}'}),
    taken("power level 1e400",
          state("m.room.power_levels", '{"users":{"@a:hs":1e400}}'), {},
          state={(ROOM, "m.room.power_levels"):
                 '{"users":{"@a:hs":1e400}}'}),
    taken("tombstone that names a number",
          state("m.room.tombstone", '{"replacement_room":5}'), {},
          state={(ROOM, "m.room.tombstone"): '{"replacement_room":5}'}),
    taken("canonical alias that is an array",
          state("m.room.canonical_alias", '{"alias":[]}'), {},
          state={(ROOM, "m.room.canonical_alias"): '{"alias":[]}'}),
    # -- redactions (AS-150)
    kept("redaction of nothing", message(
        type='"m.room.redaction"', content="{}"), "redacts"),
    kept("redaction of a number", message(
        type='"m.room.redaction"', content='{"redacts":5}'), "redacts"),
    kept("redaction of a room", message(
        type='"m.room.redaction"', content='{"redacts":"!r<n>:hs"}'),
         "redacts"),
    kept("redaction without a content", message(
        type='"m.room.redaction"', content=None, more=',"redacts":"$no"'),
         "content"),
    taken("redaction of what nobody knows", message(
        type='"m.room.redaction"', content='{"redacts":"$no"}'), {}),
    taken("redaction as before room version 11", message(
        type='"m.room.redaction"', content="{}", more=',"redacts":"$no"'), {}),
    taken("redaction in both ways, the old one bad", message(
        type='"m.room.redaction"', content='{"redacts":"$no"}',
        more=',"redacts":5'), {}),
    # -- types that nobody knows
    ignored("type empty", message(type='""')),
    ignored("type unknown", message(type='"x.y"')),
    ignored("type in upper case", member(type='"M.ROOM.MEMBER"')),
    ignored("type of 255 bytes", message(type='"%s"' % ("t" * 255))),
    ignored("type of 256 bytes", message(type='"%s"' % ("t" * 256))),
    ignored("type of 60,000 bytes", message(type='"%s"' % ("t" * 60000))),
    ignored("message with a content that is none", message(content="1.5")),
    ignored("message with nothing else",
            '{"type":"m.room.message"}'),
    ignored("state that nobody uses, with a state_key of 256 bytes",
            member('"%s"' % ("k" * 256), type='"m.room.topic"')),
    ignored("room's name with a state_key",
            member('"x"', type='"m.room.name"', content="5")),
    # -- 255 bytes (AS-126)
    taken("user id of 254 bytes", member(f'"{long("@", 254)}"'),
          {(ROOM, long("@", 254)): "join"}),
    taken("user id of 255 bytes", member(f'"{long("@", 255)}"'),
          {(ROOM, long("@", 255)): "join"}),
    kept("user id of 256 bytes", member(f'"{long("@", 256)}"'), "state_key"),
    taken("user id of 255 bytes, 132 characters",
          member(f'"{long("@", 255, fill="ü")}"'),
          {(ROOM, long("@", 255, fill="ü")): "join"}),
    kept("user id of 257 bytes, 133 characters",
         member(f'"{long("@", 257, fill="ü")}"'), "state_key"),
    kept("user id of 60,000 bytes", member(f'"{long("@", 60000)}"'),
         "state_key"),
    taken("room id of 254 bytes", member(room_id=f'"{long("!", 254)}"'),
          {(long("!", 254), USER): "join"}),
    taken("room id of 255 bytes", member(room_id=f'"{long("!", 255, "")}"'),
          {(long("!", 255, ""), USER): "join"}),
    kept("room id of 256 bytes", member(room_id=f'"{long("!", 256)}"'),
         "room_id"),
    taken("event id of 254 bytes", member(event_id=f'"{long("$", 254)}"')),
    taken("event id of 255 bytes", member(event_id=f'"{long("$", 255, "")}"')),
    kept("event id of 256 bytes", member(event_id=f'"{long("$", 256)}"'),
         "event_id"),
    # -- identifiers as they have been made since 2014 (AS-142, AS-143, AS-145,
    # AS-146), and as room version 12 makes them (AS-151)
    user("empty localpart", '"@:hs<n>"'),
    user("upper case", '"@ALICE<n>:hs"'),
    user("spaces", '"@ a b<n> :hs"'),
    user("letters of the world", '"@Ünï Ç<n>日本:hs"'),
    user("control characters", '"@a\\u0001\\u001f\\u007f<n>\\t\\n:hs"'),
    user("a pair of surrogates", '"@\\ud83d\\ude00<n>:hs"'),
    user("quotes and backslashes", '"@\\"\\\\\\/<n>:hs"'),
    user("slash, plus, equals", '"@a/b+c=2f<n>:hs"'),
    user("another @", '"@@a<n>:hs"'),
    user("port", '"@a<n>:hs:8448"'),
    user("IPv6", '"@a<n>:[1234:5678::abcd]:5678"'),
    user("every letter escaped",
         '"\\u0040\\u0061<n>\\u003a\\u0068\\u0073"'),
    room("of version 12", "!" + "a-_Z" * 9 + "xyz<n>"),
    room("with a port", "!x<n>:hs:8448"),
    room("without letters", "!<n>"),
    room("with a slash and a space", "!a/b c<n>:hs"),
    taken("event id of room version 3",
          member(event_id='"$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJ+"')),
    taken("event id of room version 1", member(event_id='"$1234:hs"')),
    # -- text that is none
    kept("NUL in a user id", member('"@u\\u0000<n>:hs"'), "u0000"),
    kept("NUL in a room id", member(room_id='"!r\\u0000<n>:hs"'), "u0000"),
    kept("NUL in an event id", member(event_id='"$e\\u0000<n>"'), "u0000"),
    kept("NUL in a type", member(type='"m.room.member\\u0000"'), "u0000"),
    kept("NUL in a membership", member(content='{"membership":"join\\u0000"}'),
         "u0000"),
    kept("NUL in a display name", member(
        content='{"membership":"join","displayname":"Ca\\u0000rla"}'),
         "u0000"),
    kept("NUL in a key", member(
        content='{"membership\\u0000":"leave","membership":"join"}'), "u0000"),
    kept("NUL in the key of a message",
         message(more=',"a\\u0000b":1'), "u0000"),
    kept("NUL in a message", message(content='{"body":"\\u0000"}'), "u0000"),
    kept("NUL in unsigned", member(more=',"unsigned":{"x":"\\u0000"}'),
         "u0000"),
    kept("NUL as a byte in a display name", member(
        content='{"membership":"join","displayname":"Ca\0rla"}'),
         "control character"),
    kept("end of a line in a display name", member(
        content='{"membership":"join","displayname":"Ca\nrla"}'), "line"),
    kept("half a pair of surrogates in a user id",
         member('"@\\ud800<n>:hs"'), "surrogate"),
    kept("the other half in a room id", member(room_id='"!\\udc00<n>:hs"'),
         "surrogate"),
    kept("half a pair of surrogates in a membership", member(
        content='{"membership":"join\\ud83d"}'), "surrogate"),
    taken("half a pair of surrogates in a display name", member(
        content='{"membership":"join","displayname":"\\ud83d"}')),
    kept("two halves in the wrong order",
         member('"@\\ude00\\ud83d<n>:hs"'), "surrogate"),
    kept("bytes of a surrogate in a user id",
         member(f'"@{raw("ED A0 80")}<n>:hs"'), "UTF-8"),
    kept("overlong slash in a user id", member(f'"@{raw("C0 AF")}<n>:hs"'),
         "UTF-8"),
    kept("overlong NUL in a user id", member(f'"@{raw("C0 80")}<n>:hs"'),
         "UTF-8"),
    kept("overlong euro in a display name", member(
        content='{"membership":"join","displayname":"%s"}'
        % raw("F0 82 82 AC")), "UTF-8"),
    kept("beyond Unicode", member(f'"@{raw("F4 90 80 80")}<n>:hs"'), "UTF-8"),
    kept("half a character", member(f'"@{raw("C3")}<n>:hs"'), "UTF-8"),
    kept("Latin 1 in a message", message(
        content='{"body":"%s"}' % raw("FC")), "UTF-8"),
    kept("FF between the fields", member(more=raw("FF")), "expected"),
    # -- keys that come twice
    kept("type twice, the last is none",
         member(more=',"type":"m.room.message"'), TWICE),
    kept("type twice, the first is none",
         '{"type":"m.room.message",' + member()[1:], TWICE),
    kept("type twice, both the same", member(more=',"type":"m.room.member"'),
         TWICE),
    kept("state_key twice", member(more=f',"state_key":"{AFTER}"'), TWICE),
    kept("room_id twice", member(more=',"room_id":"!other<n>:hs"'), TWICE),
    kept("content twice", member(more=',"content":{"membership":"leave"}'),
         TWICE),
    kept("membership twice", member(
        content='{"membership":"leave","membership":"join"}'), TWICE),
    kept("membership twice, once in escapes", member(
        content='{"membership":"leave","member\\u0073hip":"join"}'), TWICE),
    kept("event_id twice", member(more=',"event_id":"$other<n>"'), TWICE),
    kept("sender twice", member(more=',"sender":"@other:hs"'), TWICE),
    kept("redacts twice", message(
        type='"m.room.redaction"',
        content='{"redacts":"$a","redacts":"$b"}'), TWICE),
    ignored("event_id twice in a message",
            message(more=',"event_id":"$other<n>"')),
    kept("origin_server_ts twice", member(more=',"origin_server_ts":2'),
         TWICE),
    kept("origin_server_ts twice, once in escapes",
         member(more=',"origin_server_t\\u0073":2'), TWICE),
    # -- depth
    kept("content 10,000 deep", member(
        content='{"membership":"join","x":%s}' % nested(10000)), "nesting"),
    kept("content 10,000 objects deep", member(
        content='{"membership":"join","x":%s1%s}'
        % ('{"a":' * 10000, "}" * 10000)), "nesting"),
    kept("unsigned 10,000 deep",
         member(more=',"unsigned":{"x":%s}' % nested(10000)), "nesting"),
    kept("unsigned of a message 10,000 deep",
         message(more=',"unsigned":{"x":%s}' % nested(10000)), "nesting"),
    kept("10,000 arrays instead of an event", nested(10000), "nesting"),
    kept("10,000 objects instead of an event",
         '{"a":' * 10000 + "1" + "}" * 10000, "nesting"),
    # -- text that is nearly JSON
    kept("comma too many", '{"type":"x",}', "expected"),
    kept("comma missing", '{"type":"x" "a":1}', "expected"),
    kept("single quotes", "{'type':'x'}", "expected"),
    kept("key without quotes", '{type:"x"}', "expected"),
    kept("comment", '{"type":"x"/* c */}', "expected"),
    kept("NaN", '{"type":"x","n":NaN}', "expected a value"),
    kept("Infinity", '{"type":"x","n":-Infinity}', "expected"),
    kept("True", '{"type":"x","n":True}', "expected a value"),
    kept("01", '{"type":"x","n":01}', "starts with 0"),
    kept("0x1", '{"type":"x","n":0x1}', "expected"),
    kept("+1", '{"type":"x","n":+1}', "expected a value"),
    kept(".5", '{"type":"x","n":.5}', "expected a value"),
    kept("1.", '{"type":"x","n":1.}', "expected a digit"),
    kept("an escape that there is not", '{"type":"\\x41"}', "escape"),
    kept("an escape that is cut off", '{"type":"\\u12"}', "hex"),
    kept("brackets that do not fit", '{"type":["x"}}', "expected"),
    kept("word that is none", "nothing", "expected a value"),
]

# -- whole transactions


def whole(name, body, there, aside=(), n=0, **more):
    """One that is taken, of n events."""
    return Row(name, twice(put(body)), there=there, aside=tuple(aside),
               rises=rises(2, n, len(aside), 1), **more)


def refused(name, body, errcode="M_NOT_JSON"):
    """A body that is refused twice, put aside as a whole the third time it
    comes, so that the queue moves, and known from then on."""
    return Row(name, tuple((put(body), status) for status in (
        400, 400, 200, 200)), errcode, aside=((-1, ""),),
               rises=rises(2, 0, 1, 1))


def cut(name, size):
    """A body of which only so much arrives; then the same, whole."""
    return Row(name, ((put(PAIR[:size]), 400), (put(PAIR), 200)),
               "M_NOT_JSON", NEIGHBOURS, rises=rises(1, 2))


PAIR = events(good(BEFORE), good(AFTER))
BAD = "M_BAD_JSON"

BODIES = [
    # -- not JSON (AS-51)
    refused("nothing", ""),
    refused("spaces", " \r\n\t"),
    refused("one bracket", "{"),
    refused("word", "nope"),
    refused("half a word", "tru"),
    refused("single quotes around all", "'x'"),
    refused("NaN as all", "NaN"),
    refused("form", "events=%5B%5D"),
    refused("HTML", "<html></html>"),
    refused("key without a value", '{"events"}'),
    refused("no value", '{"events":}'),
    refused("events without quotes", "{events:[]}"),
    refused("events in single quotes", "{'events':[]}"),
    refused("key that is a number", "{1:[]}"),
    refused("comma at the end of the events",
            PAIR[:-2] + ",]}"),
    refused("comma at their beginning", '{"events":[,' + PAIR[11:]),
    refused("comma at the end of all", PAIR[:-1] + ",}"),
    refused("no comma between two events",
            f'{{"events":[{good(BEFORE)}{good(AFTER)}]}}'),
    refused("bracket too few", PAIR[:-1]),
    refused("bracket too many", PAIR + "}"),
    refused("the wrong bracket", PAIR[:-1] + "]"),
    refused("words behind it", PAIR + " x"),
    refused("another one behind it", PAIR + PAIR),
    refused("NUL behind it", PAIR + "\0"),
    refused("comment before it", "/* c */" + PAIR),
    refused("comment between the events",
            f'{{"events":[{good(BEFORE)}, // c\n{good(AFTER)}]}}'),
    refused("byte order mark", raw("EF BB BF") + PAIR),
    refused("UTF-16", raw(PAIR.replace("<n>", "0001").encode(
        "utf-16-le").hex())),
    refused("UTF-16 with a byte order mark", raw("FF FE" + PAIR.replace(
        "<n>", "0001").encode("utf-16-le").hex())),
    refused("UTF-32", raw(PAIR.replace("<n>", "0001").encode(
        "utf-32-be").hex())),
    refused("no UTF-8 in a key of the transaction",
            PAIR[:-1] + f',"{raw("C0 AF")}":1}}'),
    refused("no UTF-8 between the events",
            f'{{"events":[{good(BEFORE)},{raw("FF")}{good(AFTER)}]}}'),
    refused("gzip", raw("1F 8B 08 00 00 00 00 00 00 03")),
    # -- JSON, but no transaction (AS-51)
    refused("null as all", "null", BAD),
    refused("number as all", "1", BAD),
    refused("string as all", '"x"', BAD),
    refused("array as all", "[]", BAD),
    refused("a transaction in an array", f"[{PAIR}]", BAD),
    refused("empty object as all", "{}", BAD),
    refused("events in upper case", '{"Events":[]}', BAD),
    refused("events null", '{"events":null}', BAD),
    refused("events object", '{"events":{}}', BAD),
    refused("events object with an event", f'{{"events":{good(BEFORE)}}}',
            BAD),
    refused("events number", '{"events":1}', BAD),
    refused("events string", '{"events":"[]"}', BAD),
    refused("events one level too deep", f'{{"a":{PAIR}}}', BAD),
    # Which of them is meant? The homeserver does not say.
    refused("events twice", PAIR[:-1] + ',"events":[]}', BAD),
    refused("events twice, first empty", '{"events":[],' + PAIR[1:], BAD),
    refused("events twice, first no array", '{"events":{},' + PAIR[1:], BAD),
    refused("events twice, once in escapes",
            PAIR[:-1] + ',"\\u0065vents":[]}', BAD),
    # -- cut off
    cut("cut off in the key", 5),
    cut("cut off behind the key", 9),
    cut("cut off behind the colon", 10),
    cut("cut off behind the bracket", 11),
    cut("cut off in a key of an event", 15),
    cut("cut off in the first event", 100),
    cut("cut off behind the first event", 11 + len(good(BEFORE))),
    cut("cut off between the events", 12 + len(good(BEFORE))),
    cut("cut off in the second event", -20),
    cut("cut off behind the second event", -2),
    # -- good ones (AS-50, AS-70)
    whole("no events", '{"events":[]}', {}),
    whole("space everywhere", " \t\r\n{ \"events\" : [ ] } \n", {}),
    whole("unknown keys", PAIR[:-1] + ',"x.y":1,"z":[1,"]",{}],"":null}',
          NEIGHBOURS, n=2),
    whole("unknown key twice", PAIR[:-1] + ',"x":1,"x":2}', NEIGHBOURS, n=2),
    whole("unknown key 10,000 deep", PAIR[:-1] + f',"x":{nested(10000)}}}',
          NEIGHBOURS, n=2),
    whole("key of 100,000 bytes", PAIR[:-1] + f',"{"x" * 100000}":1}}',
          NEIGHBOURS, n=2),
    whole("events in escapes", '{"\\u0065vents"' + PAIR[9:],
          NEIGHBOURS, n=2),
    # Nobody needs these, and none of them is a reason to refuse (AS-72, AS-73,
    # AS-77, AS-78, AS-79).
    whole("ephemeral that is none", PAIR[:-1] + ',"ephemeral":5}',
          NEIGHBOURS, n=2),
    whole("ephemeral of strange things", PAIR[:-1] + ',"ephemeral":[null,1,'
          '{"type":5},{"type":"m.typing"},{"type":"m.receipt","content":[]},'
          '{"type":"m.presence","room_id":"!x"}]}', NEIGHBOURS, n=2),
    whole("ephemeral by its old name, and by both", PAIR[:-1] +
          ',"de.sorunome.msc2409.ephemeral":[{"edu_type":"m.typing"}],'
          '"ephemeral":[]}', NEIGHBOURS, n=2),
    whole("device lists and keys", PAIR[:-1] +
          ',"device_lists":{"changed":["@a:hs"],"left":[]},'
          '"org.matrix.msc3202.device_one_time_key_counts":{},'
          '"org.matrix.msc3202.device_unused_fallback_key_types":{},'
          '"to_device":[{"type":"m.dummy","to_user_id":"@a:hs"}]}',
          NEIGHBOURS, n=2),
    whole("device lists that are none", PAIR[:-1] +
          ',"org.matrix.msc3202.device_lists":[],'
          '"org.matrix.msc3202.device_one_time_keys_count":null,'
          '"de.sorunome.msc2409.to_device":{"a":1}}', NEIGHBOURS, n=2),
    # -- more than one event
    whole("only bad ones", events("null", "[]", "5"), {}, n=3,
          aside=[(0, "null"), (1, "array"), (2, "integer")]),
    whole("bad ones first and last",
          events("null", good(BEFORE), '{"type":5}', good(AFTER), '""'),
          NEIGHBOURS, n=5,
          aside=[(0, "object"), (2, "type"), (4, "object")]),
    whole("one event twice", events(member(), member()), APPLIED, n=2),
    # What came first is the event of that id (AS-60).
    whole("two events of one id", events(
        member(origin_server_ts="1"), member(
            origin_server_ts="2", content='{"membership":"leave"}')),
          APPLIED, n=2),
    whole("two events of one id, the older comes later", events(
        member(origin_server_ts="2"), member(
            origin_server_ts="1", content='{"membership":"leave"}')),
          APPLIED, n=2),
    whole("two events of one id in one moment", events(
        member(content='{"membership":"invite"}'), member()),
          {(ROOM, USER): "invite"}, n=2),
    whole("a member event and its redaction", events(member(), message(
        type='"m.room.redaction"', event_id='"$red<n>"',
        content='{"redacts":"$e<n>"}')), APPLIED, n=2),
    whole("two events of one id, one of them bad", events(
        member(), member(content="5"), member()), APPLIED, n=3,
          aside=[(1, "content")]),
    whole("one member event by two rooms", events(
        member(), member(room_id='"!other<n>:hs"')),
          {**APPLIED, ("!other<n>:hs", USER): "join"}, n=2),
    whole("one event id for two users", events(
        good(BEFORE, "same<n>"), good(AFTER, "same<n>")), NEIGHBOURS, n=2),
]

# -- requests (the Application Service API's sections 2 and 3)


def turned_away(name, line, status, errcode, heads=TOKEN, body=PAIR):
    """Without any effect: it is taken when it comes as it should."""
    return Row(name, ((request(line, body, heads), status), (put(PAIR), 200)),
               errcode, NEIGHBOURS, rises=rises(1, 2))


def asked(name, line, status=200, errcode=None, heads=TOKEN, body=""):
    """What is in the store does not change."""
    return Row(name, ((request(line, body, heads), status),), errcode)


def known_as(name, path, txn):
    """The part of the path that is the transaction's id."""
    text = request(f"PUT {V1}/transactions/{path}", between("null"))
    return Row(f"transaction id: {name}", twice(text), None, NEIGHBOURS,
               aside=((1, "null"),), rises=rises(2, 3, 1, 1), txn=txn)


def bearer(token, scheme="Bearer "):
    return f"Authorization: {scheme}{token}\r\n"


PUT = f"PUT {TXN}"
NO_TOKEN, FORBIDDEN = (401, "M_MISSING_TOKEN"), (403, "M_FORBIDDEN")
UNKNOWN, NO_METHOD = (404, "M_UNRECOGNIZED"), (405, "M_UNRECOGNIZED")
NOT_FOUND, NOT_DECODED = (404, "M_NOT_FOUND"), (400, "M_INVALID_PARAM")
UNSTABLE = "/_matrix/app/unstable"
OTHERS = [
    f"POST {V1}/ping", f"POST {UNSTABLE}/fi.mau.msc2659/ping",
    f"GET {V1}/users/@anna.vp:fleet.test", "GET /users/@anna.vp:fleet.test",
    f"GET {V1}/rooms/%23all-employees:fleet.test",
    "GET /rooms/%23all-employees:fleet.test",
    *(f"GET {path}/thirdparty/{what}" for path in (V1, UNSTABLE)
      for what in ("protocol/irc", "user/irc", "location/irc", "user",
                   "location"))]

REQUESTS = [
    # -- no token (AS-40, AS-42, AS-43)
    turned_away("no token", PUT, *NO_TOKEN, heads=""),
    turned_away("no token, legacy", "PUT /transactions/t<n>", *NO_TOKEN,
                heads=""),
    turned_away("empty header", PUT, *NO_TOKEN, heads=bearer("", "")),
    turned_away("scheme alone", PUT, *NO_TOKEN, heads=bearer("")),
    turned_away("another scheme", PUT, *NO_TOKEN,
                heads=bearer("<token>", "Basic ")),
    turned_away("no scheme", PUT, *NO_TOKEN, heads=bearer("<token>", "")),
    turned_away("two words", PUT, *NO_TOKEN, heads=bearer("<token> x")),
    turned_away("two headers", PUT, *NO_TOKEN, heads=TOKEN + TOKEN),
    turned_away("empty token in the query", f"{PUT}?access_token=", *NO_TOKEN,
                heads=""),
    turned_away("another parameter", f"{PUT}?token=<token>", *NO_TOKEN,
                heads=""),
    # -- a wrong one (AS-41, AS-45, AS-47)
    turned_away("wrong token", PUT, *FORBIDDEN, heads=bearer("x")),
    turned_away("token of the other direction", PUT, *FORBIDDEN,
                heads=bearer("<as_token>")),
    turned_away("one letter more", PUT, *FORBIDDEN, heads=bearer("<token>x")),
    turned_away("one letter before it", PUT, *FORBIDDEN,
                heads=bearer("x<token>")),
    turned_away("wrong token in the query", f"{PUT}?access_token=x",
                *FORBIDDEN, heads=""),
    turned_away("right in the header, wrong in the query",
                f"{PUT}?access_token=x", *FORBIDDEN),
    turned_away("wrong in the header, right in the query",
                f"{PUT}?access_token=<token>", *FORBIDDEN, heads=bearer("x")),
    turned_away("wrong token by an escaped name", f"{PUT}?access%5Ftoken=x",
                *FORBIDDEN),
    turned_away("right and wrong in the query",
                f"{PUT}?access_token=<token>&access_token=x", *FORBIDDEN,
                heads=""),
    turned_away("wrong token, and no JSON", PUT, *FORBIDDEN, heads=bearer("x"),
                body="{"),
    # A token everywhere, by legacy paths too (AS-40, AS-41, AS-85, AS-97).
    *(asked(f"no token: {line}", line, *NO_TOKEN, heads="")
      for line in OTHERS),
    *(asked(f"wrong token: {line}", line, *FORBIDDEN, heads=bearer("x"))
      for line in OTHERS),
    # -- the right one (AS-30, AS-44, AS-45)
    *(Row(f"token: {name}", twice(request(PUT + query, PAIR, heads)),
          there=NEIGHBOURS, rises=rises(2, 2, 0, 1))
      for name, query, heads in (
        ("in the query alone", "?access_token=<token>", ""),
        ("escaped", "?access_token=<escaped>", ""),
        ("escaped, its name too", "?access%5Ftoken=<escaped>", ""),
        ("in both", "?access_token=<token>", TOKEN),
        ("with another parameter", "?user_id=x&access_token=<token>", TOKEN),
        ("scheme in lower case", "", bearer("<token>", "bearer ")))),
    # -- paths that are none, whoever asks; nobody is sent elsewhere (AS-20,
    # AS-22, AS-34)
    turned_away("no id", f"PUT {V1}/transactions/", *UNKNOWN),
    turned_away("no slash either", f"PUT {V1}/transactions", *UNKNOWN),
    turned_away("slash behind it", f"PUT {V1}/transactions/t<n>/", *UNKNOWN),
    turned_away("raw slash in the id", f"PUT {V1}/transactions/t/<n>",
                *UNKNOWN),
    turned_away("version 2", "PUT /_matrix/app/v2/transactions/t<n>",
                *UNKNOWN),
    turned_away("unstable", f"PUT {UNSTABLE}/transactions/t<n>", *UNKNOWN),
    turned_away("upper case", "PUT /_MATRIX/app/v1/transactions/t<n>",
                *UNKNOWN),
    turned_away("two slashes", f"PUT /{V1}/transactions/t<n>", *UNKNOWN),
    turned_away("one level up", f"PUT {V1}/../v1/transactions/t<n>",
                *UNKNOWN),
    turned_away("one level up, escaped",
                f"PUT {V1}/%2e%2e/v1/transactions/t<n>", *UNKNOWN),
    turned_away("slashes escaped", f"PUT {V1}%2Ftransactions%2Ft<n>",
                *UNKNOWN),
    turned_away("no token, no path", f"PUT {V1}/transaction/t<n>", *UNKNOWN,
                heads=""),
    # No feature of ours (AS-23, AS-82).
    asked("keys/claim",
          f"POST {UNSTABLE}/org.matrix.msc3983/keys/claim", *UNKNOWN),
    asked("keys/query",
          f"POST {UNSTABLE}/org.matrix.msc3984/keys/query", *UNKNOWN),
    asked("root", "GET /", *UNKNOWN),
    asked("outside of it all", "GET /../../etc/passwd", *UNKNOWN),
    asked("another's path", "GET /_matrix/client/versions", *UNKNOWN),
    # -- methods that are none (AS-21, AS-33)
    turned_away("GET", f"GET {TXN}", *NO_METHOD),
    turned_away("POST", f"POST {TXN}", *NO_METHOD),
    turned_away("DELETE", f"DELETE {TXN}", *NO_METHOD),
    turned_away("OPTIONS", f"OPTIONS {TXN}", *NO_METHOD),
    turned_away("put", f"put {TXN}", *NO_METHOD),
    turned_away("a word", f"BREW {TXN}", *NO_METHOD),
    turned_away("POST without a token", f"POST {TXN}", *NO_METHOD, heads=""),
    turned_away("GET, legacy", "GET /transactions/t<n>", *NO_METHOD),
    asked("GET ping", f"GET {V1}/ping", *NO_METHOD),
    asked("PUT ping", f"PUT {V1}/ping", *NO_METHOD),
    asked("POST users", f"POST {V1}/users/@a:b", *NO_METHOD),
    asked("POST users, legacy", "POST /users/@a:b", *NO_METHOD),
    asked("PUT rooms", f"PUT {V1}/rooms/%23a:b", *NO_METHOD),
    asked("DELETE thirdparty", f"DELETE {V1}/thirdparty/user", *NO_METHOD),
    # -- ids as they stand in paths (AS-28, AS-61)
    known_as("escaped", "%74<n>", "t<n>"),
    known_as("with a slash", "a%2Fb<n>", "a/b<n>"),
    known_as("escaped twice", "%252F<n>", "%2F<n>"),
    known_as("with a plus", "a+b<n>", "a+b<n>"),
    known_as("with spaces", "%20a%20<n>%20", " a <n> "),
    known_as("dots", "..%2F..%2F<n>", "../../<n>"),
    known_as("letters of the world", "%E2%82%AC<n>", "€<n>"),
    known_as("control characters", "%01%0A%7F<n>", "\1\n\x7f<n>"),
    known_as("a number", "<n>", "<n>"),
    known_as("a digest", "a-_Z" * 9 + "xyz<n>", "a-_Z" * 9 + "xyz<n>"),
    known_as("2,000 letters", "i" * 2000 + "<n>", "i" * 2000 + "<n>"),
    turned_away("NUL in the id", f"PUT {V1}/transactions/t%00<n>",
                *NOT_DECODED),
    turned_away("percent alone", f"PUT {V1}/transactions/t<n>%",
                *NOT_DECODED),
    turned_away("percent and no digits", f"PUT {V1}/transactions/t%zz<n>",
                *NOT_DECODED),
    turned_away("no UTF-8 in the id", f"PUT {V1}/transactions/t%FF<n>",
                *NOT_DECODED),
    turned_away("overlong slash in the id", f"PUT {V1}/transactions/%C0%AF<n>",
                *NOT_DECODED),
    turned_away("half a pair of surrogates in the id",
                f"PUT {V1}/transactions/%ED%A0%80<n>", *NOT_DECODED),
    # -- questions: what is not there is not found (AS-23, AS-91, AS-91a); a
    # slash is part of the name (AS-29); also by legacy paths (AS-97, AS-99)
    asked("user", f"GET {V1}/users/@anna.vp:fleet.test"),
    asked("user, legacy", "GET /users/@anna.vp:fleet.test"),
    asked("nobody, legacy", "GET /users/@nobody:fleet.test", *NOT_FOUND),
    asked("room, legacy", "GET /rooms/%23all-employees:fleet.test"),
    asked("user, escaped", f"GET {V1}/users/%40anna.vp%3Afleet.test"),
    asked("nobody", f"GET {V1}/users/@nobody:fleet.test", *NOT_FOUND),
    asked("human", f"GET {V1}/users/@carla.ceo:fleet.test", *NOT_FOUND),
    asked("user of another server", f"GET {V1}/users/@anna.vp:other.test",
          *NOT_FOUND),
    asked("user in upper case", f"GET {V1}/users/@Anna.vp:fleet.test",
          *NOT_FOUND),
    asked("user with a slash", f"GET {V1}/users/@anna/vp:fleet.test",
          *NOT_FOUND),
    asked("no user id", f"GET {V1}/users/anna.vp", *NOT_FOUND),
    asked("user id of 10,000 bytes", f"GET {V1}/users/@{'a' * 10000}:hs",
          *NOT_FOUND),
    asked("user with a NUL", f"GET {V1}/users/@anna.vp%00:fleet.test",
          *NOT_FOUND),
    asked("escaped twice", f"GET {V1}/users/%2540anna.vp:fleet.test",
          *NOT_FOUND),
    asked("room", f"GET {V1}/rooms/%23all-employees:fleet.test"),
    asked("room of nobody", f"GET {V1}/rooms/%23nothing:fleet.test",
          *NOT_FOUND),
    asked("alias with a slash", f"GET {V1}/rooms/%23all/employees:fleet.test",
          *NOT_FOUND),
    asked("no alias", f"GET {V1}/rooms/all-employees", *NOT_FOUND),
    asked("no UTF-8 in an alias", f"GET {V1}/rooms/%23%FF:fleet.test",
          *NOT_FOUND),
    # We have no network (AS-17, AS-95), whatever it is asked (AS-30).
    asked("protocol", f"GET {V1}/thirdparty/protocol/irc", *NOT_FOUND),
    asked("look-up of a user",
          f"GET {V1}/thirdparty/user?userid=%40a%2Bb%3Ahs", *NOT_FOUND),
    asked("look-up of a location",
          f"GET {V1}/thirdparty/location?x=1&alias=a+b&alias=c", *NOT_FOUND),
    asked("look-up by an escaped name",
          f"GET {V1}/thirdparty/location?%61lias=a", *NOT_FOUND),
    asked("look-up with another parameter",
          f"GET {V1}/thirdparty/location?userid=x", 400, "M_MISSING_PARAM"),
    asked("look-up without a parameter", f"GET {V1}/thirdparty/user", 400,
          "M_MISSING_PARAM"),
    # -- pings (AS-83, AS-84, AS-87)
    asked("ping with null", f"POST {V1}/ping",
          body='{"transaction_id":null}'),
    asked("ping with a number", f"POST {V1}/ping",
          body='{"transaction_id":1e400}'),
    asked("ping without a body", f"POST {V1}/ping"),
    asked("ping without JSON", f"POST {V1}/ping", 400, "M_NOT_JSON",
          body="{"),
    asked("ping with a NUL", f"POST {V1}/ping", 400, "M_NOT_JSON",
          body='{"transaction_id":"\\u0000"}'),
    asked("ping with no UTF-8", f"POST {V1}/ping", 400, "M_NOT_JSON",
          body=f'{{"transaction_id":"{raw("FF")}"}}'),
    asked("ping 10,000 deep", f"POST {V1}/ping", 400, "M_NOT_JSON",
          body=nested(10000)),
    asked("ping with an array", f"POST {V1}/ping", 400, "M_BAD_JSON",
          body="[]"),
    asked("ping with a word", f"POST {V1}/ping", 400, "M_BAD_JSON",
          body='"x"'),
    asked("ping of 64 KiB and a byte", f"POST {V1}/ping", 413, "M_TOO_LARGE",
          body=" " * 65537),
    # -- kinds of content (AS-26)
    *(Row(f"content type: {kind}", twice(request(
        PUT, PAIR, f"{TOKEN}Content-Type: {kind}\r\n")),
          there=NEIGHBOURS, rises=rises(2, 2, 0, 1)) for kind in (
        "application/json; charset=utf-8", "text/plain", "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded", "")),
]

# -- where a request ends


def chunks(*texts):
    def chunk(text):
        size = len(text.replace("<n>", "0000").encode(
            "utf-8", "surrogateescape"))
        return f"{size:x}\r\n{text}\r\n"
    return "".join(map(chunk, (*texts, "")))


def wire(heads, body=PAIR, version="1.1", host="Host: x\r\n"):
    return (f"{PUT} HTTP/{version}\r\n{host}Connection: close\r\n{TOKEN}"
            f"{heads}\r\n{body}")


def unclear(name, text, status=400, errcode="M_UNKNOWN"):
    """Without any effect, and the connection ends."""
    return Row(name, ((text, status), (put(PAIR), 200)), errcode, NEIGHBOURS,
               rises=rises(1, 2))


def hangs_up(name, text):
    """The same; nobody waits for an answer."""
    return Row(name, ((text, None), (put(PAIR), 200)), None, NEIGHBOURS,
               rises=rises(1, 2))


def clear(name, text):
    return Row(name, twice(text), there=NEIGHBOURS, rises=rises(2, 2, 0, 1))


SIZE = len(PAIR.replace("<n>", "0000"))
LENGTH = f"Content-Length: {SIZE}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"

WIRE = [
    unclear("two lengths", wire(LENGTH + "Content-Length: 5\r\n")),
    unclear("the same length twice", wire(LENGTH + LENGTH)),
    unclear("a list of lengths", wire(f"Content-Length: {SIZE}, {SIZE}\r\n")),
    unclear("length and chunks", wire(LENGTH + CHUNKED, chunks(PAIR))),
    unclear("chunks and length", wire(CHUNKED + LENGTH, chunks(PAIR))),
    unclear("chunked twice", wire(CHUNKED + CHUNKED, chunks(PAIR))),
    unclear("gzip, then chunks", wire("Transfer-Encoding: gzip, chunked\r\n",
                         chunks(PAIR))),
    unclear("identity", wire("Transfer-Encoding: identity\r\n")),
    unclear("xchunked", wire("Transfer-Encoding: xchunked\r\n",
                             chunks(PAIR))),
    unclear("chunks in HTTP/1.0", wire(CHUNKED, chunks(PAIR), "1.0")),
    unclear("space behind a name", wire(f"Content-Length : {SIZE}\r\n")),
    unclear("length that is negative", wire("Content-Length: -1\r\n")),
    unclear("length that is a word", wire("Content-Length: all\r\n")),
    unclear("length in hexadecimal", wire("Content-Length: 0x10\r\n")),
    unclear("chunk whose size is a word", wire(CHUNKED, "all\r\n"))._replace(
        page=True),
    # Too large (AS-31).
    unclear("32 MiB and a byte", wire("Content-Length: 33554433\r\n", ""),
            413, "M_TOO_LARGE"),
    unclear("length of 2^63 - 1",
            wire("Content-Length: 9223372036854775807\r\n", ""), 413,
            "M_TOO_LARGE"),
    unclear("length of 2^64", wire("Content-Length: 18446744073709551616\r\n",
                                   ""), 413, "M_TOO_LARGE"),
    unclear("no host", wire(LENGTH, host="")),
    hangs_up("no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n"),
    hangs_up("shorter than its length",
             wire(f"Content-Length: {SIZE + 1}\r\n")),
    hangs_up("no last chunk", wire(CHUNKED, chunks(PAIR)[:-5])),
    hangs_up("half a chunk", wire(CHUNKED, chunks(PAIR)[:100])),
    hangs_up("half a header", wire(LENGTH)[:120]),
    unclear("length 0", wire("Content-Length: 0\r\n", ""), 400,
            "M_NOT_JSON"),
    unclear("neither length nor chunks", wire("", ""), 400, "M_NOT_JSON"),
    clear("chunks", wire(CHUNKED, chunks(PAIR[:7], PAIR[7:60], PAIR[60:]))),
    clear("a chunk for each byte",
          wire(CHUNKED, chunks(*re.findall("<n>|.", PAIR)))),
    clear("asks first", wire(LENGTH + "Expect: 100-continue\r\n")),
    clear("zeros before its length", wire(f"Content-Length: 000{SIZE}\r\n")),
    clear("longer than its length", wire(LENGTH, PAIR + "GET / HTTP/1.1\r\n")),
]

# -- how much it may be

MANY = [f"@m{k}.<n>:hs" for k in range(10000)]

# Batches of any size (AS-71), up to 32 MiB (AS-31).
LARGE = [
    whole("10,000 events, one of them bad",
          events(*map(good, MANY[:5000]), "null", *map(good, MANY[5000:])),
          {(ROOM, user): "join" for user in MANY}, n=10001,
          aside=[(5000, "found null")]),
    whole("100 events of 64 KiB", events(*(
        message(event_id=f'"$m{k}"', content='{"body":"%s"}' % ("b" * 65000))
        for k in range(100)), good(AFTER)), {(ROOM, AFTER): "join"}, n=101),
    whole("32 MiB to the byte", PAIR[:-1] + ',"x":"%s"}' % (
        "x" * ((32 << 20) - SIZE - len(',"x":""'))), NEIGHBOURS, n=2),
]

TABLE = [*EVENTS, *BODIES, *REQUESTS, *WIRE, *LARGE]
