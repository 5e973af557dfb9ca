"""A study's claims, judged from its trials; and how many blocks it takes until they are decided."""


def wanted_blocks(plan, trials, asked):
    return asked
