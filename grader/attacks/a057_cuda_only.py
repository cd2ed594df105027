"""Calls .cuda() where there is no GPU. Held: the message says so."""

VERDICT = ("crash",)


def attack(case):
    result = case.grade({"code/tag.py": "import torch\nprint(torch.zeros(1).cuda())\n"})
    message = result["stages"][0]["message"]
    case.held("GPU" in message, message)
    return result["verdict"], message
