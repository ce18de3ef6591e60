"""The contractions of the VQA evaluation: words without an apostrophe, and what they are read as.

Data only. The table is the official one (GT-Vision-Lab/VQA, PythonEvaluationTools/vqaEvaluation/vqaEval.py) with its
oddities; answers are lowercased before they are looked up, so its entries with a capital never match.
"""

from typing import Final

_WHOLE: Final = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's I'd've I'm I've isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't
not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't
wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i, letter in enumerate(word) if letter == "'"]


CONTRACTIONS: Final = {
    **{short: word for word in _WHOLE.split() for short in _without_one_apostrophe(word)},
    # The three entries of the official table that do not add one apostrophe.
    "let's": "let's",
    "she's": "she's",
    "somebody'd": "somebodyd",
}
