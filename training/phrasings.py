"""The wordings of the questions, at least six each. Names in braces are filled in by reasoning.question."""

PHRASINGS = {
    "what_corner": [
        "What is in the {place} corner?", "What is at the {place}?", "Which object is in the {place} corner?",
        "What do you see at the {place}?", "Name the object in the {place} corner.", "What stands in the {place} corner of the picture?",
        "The object in the {place} corner: what is it?",
    ],
    "what_cell": [
        "What is in row {r}, column {c}?", "What is at row {r}, column {c}?", "Which object is in row {r} and column {c}?",
        "Name the object in row {r}, column {c}.", "What do you see in column {c} of row {r}?", "In row {r}, column {c}, what is there?",
    ],
    "what_colour": [
        "What is the {colour} object?", "Which shape is {colour}?", "What shape is the {colour} one?", "Name the {colour} shape.",
        "What kind of shape is {colour}?", "The {colour} shape: what is it?",
    ],
    "what_only": [
        "What is shown?", "What is this?", "What is in the picture?", "What do you see?", "Name the object.", "Which object is in the image?",
    ],
    "colour": [
        "What colour is the {ref}?", "What color is the {ref}?", "Which colour does the {ref} have?", "Name the colour of the {ref}.",
        "What is the colour of the {ref}?", "Tell me the color of the {ref}.", "The {ref} is which colour?",
    ],
    "exists": [
        "Is there {a}?", "Is there {a} in the picture?", "Do you see {a}?", "Does the picture show {a}?", "Can you find {a}?",
        "Is {a} in the image?", "Does the image contain {a}?",
    ],
    "count": [
        "How many {many} are there?", "How many {many} do you see?", "How many {many} are in the picture?", "Count the {many}.",
        "What is the number of {many}?", "How many {many} does the image show?", "Tell me how many {many} there are.",
    ],
    "compare": [
        "Are there more {x} or {y}?", "Which are there more of, {x} or {y}?", "Do you see more {x} or more {y}?", "More {x} or more {y}?",
        "Which is more frequent, {x} or {y}?", "Does the picture show more {x} or {y}?", "Of {x} and {y}, which are more numerous?",
    ],
    "neighbour": [
        "What is directly {side} the {ref}?", "What is right next to the {ref}, {side} it?", "Which object is directly {side} the {ref}?",
        "What do you see directly {side} the {ref}?", "Name the object directly {side} the {ref}.", "Directly {side} the {ref}, what is there?",
    ],
    "side": [
        "Is the {x} {side} the {y}?", "Is the {x} somewhere {side} the {y}?", "Does the {x} lie {side} the {y}?",
        "Is it true that the {x} is {side} the {y}?", "Do you see the {x} {side} the {y}?", "Does the {x} stand {side} the {y}?",
    ],
    "read": [
        "What number is shown?", "What is the number?", "Read the number.", "Which number do you see?", "What number is in the picture?",
        "Tell me the number.", "Which number is written here?",
    ],
    "read_colour": [
        "What is the {colour} number?", "Read the {colour} number.", "Which number is {colour}?", "What number is written in {colour}?",
        "What does the {colour} number say?", "Tell me the {colour} number.",
    ],
    "sum": [
        "What is the sum of the two numbers?", "What is the sum?", "Add the two numbers.", "What do the numbers add up to?",
        "What do you get if you add the numbers?", "How much are the two numbers together?", "Add up the numbers in the picture.",
    ],
    "difference": [
        "What is the difference between the two numbers?", "What is the difference?", "Subtract the smaller number from the larger.",
        "By how much do the numbers differ?", "How far apart are the two numbers?", "How much larger is the larger number?",
    ],
    "largest": [
        "Which number is the {most}?", "What is the {most} number?", "Find the {most} number.", "Name the {most} of the numbers.",
        "Of all the numbers, which is the {most}?", "Tell me the {most} number in the picture.",
    ],
    "bar_value": [
        "What is the value of {bar}?", "How high is {bar}?", "What value does {bar} have?", "Read the value of {bar}.",
        "How tall is {bar}?", "Tell me the value of {bar}.", "Which value does {bar} reach?",
    ],
    "bar_extreme": [
        "Which bar is the {most}?", "What is the {most} bar?", "Name the {most} bar.", "Which of the bars is the {most}?",
        "Find the {most} bar.", "Which bar is {most}?",
    ],
    "bar_difference": [
        "How much higher is {x} than {y}?", "How much taller is {x} than {y}?", "By how much does {x} exceed {y}?",
        "What is the difference between {x} and {y}?", "How far is {x} above {y}?", "What is {x} minus {y}?",
    ],
    "bar_sum": [
        "What is the sum of {x} and {y}?", "How much are {x} and {y} together?", "Add {x} and {y}.",
        "What is the total of {x} and {y}?", "What do {x} and {y} add up to?", "What is {x} plus {y}?",
    ],
    "bar_count": [
        "How many bars are {than} {v}?", "Count the bars {than} {v}.", "How many of the bars are {than} {v}?",
        "How many bars do you see {than} {v}?", "What is the number of bars {than} {v}?", "Tell me how many bars are {than} {v}.",
    ],
    "point_value": [
        "What is the value of {point}?", "How high is {point}?", "What value does {point} have?", "Read the value of {point}.",
        "What is the value of the line at {x}?", "Which value does the line reach at {x}?",
    ],
    "point_extreme": [
        "Which point is the {most}?", "What is the {most} point?", "Name the {most} point.", "At which point is the line {most}?",
        "Find the {most} point.", "Which point of the line is {most}?",
    ],
    "point_difference": [
        "How much higher is {x} than {y}?", "By how much does {x} exceed {y}?", "What is the difference between {x} and {y}?",
        "How far is {x} above {y}?", "What is {x} minus {y}?", "How much lower is {y} than {x}?",
    ],
    "pie_value": [
        "What percentage is the {colour} slice?", "How many percent is the {colour} slice?", "How large is the {colour} slice in percent?",
        "Read the percentage of the {colour} slice.", "What percent of the pie is {colour}?", "What is the share of the {colour} slice in percent?",
    ],
    "pie_extreme": [
        "Which slice is the {most}?", "What colour is the {most} slice?", "Name the colour of the {most} slice.", "Which colour has the {most} slice?",
        "Find the {most} slice.", "Of the slices, which is the {most}?",
    ],
    "pie_sum": [
        "How many percent are {x} and {y} together?", "What percentage do {x} and {y} make up together?", "What is the sum of {x} and {y} in percent?",
        "Add the {x} and {y} slices.", "How much of the pie is {x} or {y} in percent?", "What do the {x} and {y} slices add up to?",
    ],
    "sign": [
        "What does the sign say?", "What is written on the sign?", "Read the sign.", "Which word is on the sign?", "What word do you see?",
        "What is the word on the sign?",
    ],
    "sign_colour": [
        "What does the {colour} sign say?", "What is written on the {colour} sign?", "Read the {colour} sign.",
        "Which word is on the {colour} sign?", "What word is on the {colour} sign?", "Tell me what the {colour} sign says.",
    ],
}  # fmt: skip
SIDES = {"left": ("left of", "to the left of"), "right": ("right of", "to the right of"), "above": ("above",), "below": ("below", "under")}
PLURALS = {"fish": "fish", "cherry": "cherries", "strawberry": "strawberries", "butterfly": "butterflies",
           "bus": "buses", "cross": "crosses"}  # fmt: skip


def plural(word: str) -> str:
    return PLURALS.get(word) or word + "s"
