"""Compares our built-in assignors with Apache Kafka's own, on random groups that change.

assignors/Assignors.java makes the groups, asks Kafka's classes, and prints questions and answers;
plugins/builtin/examples/assignors.rs answers the same questions with ours. `range`, `uniform` and
`round-robin` must give the same, member for member. `sticky` is an algorithm of its own: no group may be less
even than with Kafka's, and over all groups no more partitions may move.
"""

import argparse
import collections
import sys

EQUAL = ["range", "client-range", "uniform", "round-robin"]
SHOWN_MAX = 3


def places(word):
    return frozenset() if word == "-" else frozenset(word.split(","))


class Question:
    """One question with its answer."""

    def __init__(self, lines):
        self.lines = lines
        words = [line.split(" ") for line in lines]
        (_, self.assignor, self.kind), = [w for w in words if w[0] == "ask"]
        self.racks = [w[4].split("/") for w in words if w[0] == "topic"]
        self.members = [w[1:] for w in words if w[0] == "member"]
        self.answer = [places(w[1]) for w in words if w[0] == "answer"]

    def valid(self, answer):
        """Whether everybody subscribes to what he has."""
        subscribed = [places(member[3]) for member in self.members]
        return all(place.split(":")[0] in topics for topics, of in zip(subscribed, answer) for place in of)

    def uneven(self, answer):
        """The sum of the squares of what the members have: the smaller, the more even."""
        return sum(len(of) ** 2 for of in answer)

    def moved(self, answer):
        """How many partitions have another owner than before; those whose owner left do not count."""
        return sum(len(places(member[4]) - of) for member, of in zip(self.members, answer))

    def far(self, answer):
        """How many partitions are with a member that is in none of their racks."""
        racks = lambda place: self.racks[int(place.split(":")[0])][int(place.split(":")[1])].split(",")
        placed = [(member[2], place) for member, of in zip(self.members, answer) for place in of if member[2] != "-"]
        return sum(1 for rack, place in placed if rack not in racks(place)) if self.with_racks() else 0

    def with_racks(self):
        return any(racks != ["-"] for racks in self.racks)


def blocks(lines):
    block = []
    for line in lines:
        line = line.rstrip("\n")
        if line == "end":
            yield block
            block = []
        else:
            block.append(line)


def report(question, ours, why):
    print(f"\n{question.assignor}: {why}")
    print("\n".join(line for line in question.lines if not line.startswith("answer")))
    for member, theirs, our in zip(question.members, question.answer, ours):
        if theirs != our:
            print(f"  {member[0]}: Kafka {','.join(sorted(theirs))} ours {','.join(sorted(our))}")


def judge(question, ours, seen):
    """Counts; returns what is wrong, or None."""
    kind = f"{question.assignor}, {question.kind}"
    count = seen[kind]
    count["groups"] += 1
    if question.assignor in EQUAL:
        return None if ours == question.answer else "the assignments differ"
    if not question.valid(question.answer):
        count["where Kafka assigns to strangers"] += 1
        return None
    for name, measure in [("uneven", question.uneven), ("moved", question.moved), ("far", question.far)]:
        theirs, our = measure(question.answer), measure(ours)
        count[f"Kafka {name}"] += theirs
        count[f"ours {name}"] += our
        count[f"less {name}"] += our < theirs
        count[f"more {name}"] += our > theirs
    return "less even than Kafka's" if question.uneven(ours) > question.uneven(question.answer) else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("questions", help="what Assignors.java printed")
    parser.add_argument("answers", help="what our assignors say to that")
    options = parser.parse_args()
    seen, wrong = collections.defaultdict(collections.Counter), 0
    with open(options.questions) as questions, open(options.answers) as answers:
        questions, answers = [Question(lines) for lines in blocks(questions)], list(blocks(answers))
    if len(answers) != len(questions) or not questions:
        sys.exit(f"{len(questions)} questions, {len(answers)} answers")
    for question, answer in zip(questions, answers):
        ours = [places(line.split(" ")[1]) for line in answer]
        why = judge(question, ours, seen)
        if why:
            wrong += 1
            if wrong <= SHOWN_MAX:
                report(question, ours, why)
    for kind, count in sorted(seen.items()):
        print(f"{kind}: " + ", ".join(f"{value} {name}" for name, value in count.items()))
        if count["ours moved"] > count["Kafka moved"]:
            wrong += 1
            print(f"{kind}: more moved than by Kafka's")
    print(f"assignors: {len(questions)} questions, {wrong} differences that may not be")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
