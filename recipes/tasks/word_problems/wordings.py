"""The texts of word problems: what is asked, and which operations answer it.

A wording is (operations, text). {a}, {b}, {c} are the numbers in the order of the operations, so that "-" means
a - b and "+-" means (a + b) - c; {n} and {m} are two people, {t} is a thing in the plural.
"""

Wording = tuple[str, str]

PEOPLE = (
    *("Alma", "Bruno", "Clara", "Dario", "Elsa", "Felix", "Greta"),
    *("Henry", "Iris", "Jonas", "Kira", "Louis", "Maya"),
)
THINGS = (
    *("acorns", "beads", "buttons", "candles", "crayons", "feathers"),
    *("magnets", "pebbles", "plums", "posters", "ribbons"),
)

ONE_STEP: tuple[Wording, ...] = (
    ("+", "{n} has {a} {t}. {m} brings {n} {b} more {t}. How many {t} does {n} have now?"),
    ("+", "{n} owns {a} {t} and {m} owns {b} {t}. How many {t} do they own together?"),
    ("+", "One drawer holds {a} {t} and another holds {b} {t}. How many {t} do the two drawers hold?"),
    ("+", "{n} bought {a} {t} yesterday and {b} {t} today. How many {t} did {n} buy?"),
    ("+", "{n} is {a} years old. How old will {n} be in {b} years?"),
    ("+", "{n} collected {a} {t} before lunch and {b} {t} after lunch. How many {t} did {n} collect?"),
    ("+", "A jar holds {a} green {t} and {b} yellow {t}. How many {t} does the jar hold?"),
    ("+", "{n} ran {a} miles on Monday and {b} miles on Friday. How many miles did {n} run?"),
    ("+", "{n} is {a} years old. {m} is {b} years older. How old is {m}?"),
    ("+", "A book costs {a} dollars and a pen costs {b} dollars. How many dollars do they cost together?"),
    ("-", "{n} has {a} {t}. {n} gives {b} of them to {m}. How many {t} does {n} have left?"),
    ("-", "{n} had {a} {t} and lost {b}. How many {t} does {n} have now?"),
    ("-", "There were {a} {t} in a basket. {n} took {b} out. How many {t} are left in the basket?"),
    ("-", "{n} has {a} {t} and {m} has {b}. How many more {t} does {n} have than {m}?"),
    ("-", "{n} had {a} dollars and paid {b} dollars for lunch. How many dollars does {n} have left?"),
    ("-", "{n} is {a} years old. How old was {n} {b} years ago?"),
    ("-", "Of {a} {t} in a bag, {b} are white and the others are black. How many {t} are black?"),
    ("-", "{n} needs {a} {t} and has {b}. How many {t} are missing?"),
    ("*", "{n} has {a} bags with {b} {t} in each. How many {t} does {n} have?"),
    ("*", "Every box holds {b} {t}. How many {t} do {a} boxes hold?"),
    ("*", "{n} reads {b} pages a day. How many pages does {n} read in {a} days?"),
    ("*", "A ticket costs {b} dollars. How many dollars do {a} tickets cost?"),
)
ONE_STEP_UNSEEN: tuple[Wording, ...] = (
    ("+", "{a} ducks swim on a pond. {b} more ducks land on it. How many ducks are on the pond now?"),
    ("+", "{n} scored {a} goals and {m} scored {b} goals. How many goals did both of them score?"),
    ("-", "A baker made {a} loaves and sold {b}. How many loaves were not sold?"),
    ("-", "A ribbon is {a} inches long. {n} cuts off {b} inches. How many inches remain?"),
    ("*", "A van has {b} seats. How many seats do {a} vans have?"),
    ("*", "{n} plants {a} rows of {b} tulips. How many tulips does {n} plant?"),
)
TWO_STEPS: tuple[Wording, ...] = (
    ("++", "{n} has {a} {t}, {m} has {b} and a friend has {c}. How many {t} do the three have together?"),
    ("++", "{n} found {a} {t} on Monday, {b} on Tuesday and {c} on Sunday. How many {t} did {n} find?"),
    ("+-", "{n} has {a} {t}, buys {b} more and then gives {c} to {m}. How many {t} does {n} have now?"),
    ("+-", "A tray holds {a} red {t} and {b} blue {t}. {n} takes {c} away. How many {t} are left on the tray?"),
    ("-+", "{n} had {a} {t}, lost {b} and later found {c} new ones. How many {t} does {n} have now?"),
    ("-+", "{n} had {a} dollars, spent {b} dollars and then earned {c} dollars. How many dollars does {n} have now?"),
    ("--", "There were {a} {t}. {n} took {b} and {m} took {c}. How many {t} are left?"),
    ("--", "{n} had {a} dollars. A cap cost {b} dollars and a drink cost {c} dollars. How many dollars are left?"),
    ("*+", "{n} has {a} bags with {b} {t} in each, and {c} more {t}. How many {t} does {n} have?"),
    ("*-", "{n} had {a} boxes with {b} {t} in each, and gave {c} {t} to {m}. How many {t} does {n} have left?"),
)
TWO_STEPS_UNSEEN: tuple[Wording, ...] = (
    ("+-", "{a} people ride a bus. {b} get on and {c} get off. How many people ride the bus now?"),
    ("-+", "A pond holds {a} fish. {n} takes out {b} and puts in {c}. How many fish are in the pond?"),
    ("--", "A rope is {a} feet long. {n} cuts off {b} feet and {m} cuts off {c} feet. How many feet remain?"),
    ("*+", "A hall has {a} rows of {b} chairs, and {c} chairs at the wall. How many chairs are in the hall?"),
)
SEEN = {1: ONE_STEP, 2: TWO_STEPS}
"""Steps -> the wordings of training, validation and most of the test."""
UNSEEN = {1: ONE_STEP_UNSEEN, 2: TWO_STEPS_UNSEEN}
"""Steps -> the wordings that stand in the test alone."""
