"""Numbers and tables as docs/performance.md has them."""


def number(value, digits=0):
    return f"{value:,.{digits}f}"


def table(head, rows):
    """The first column is text, the others are numbers."""
    return "\n".join([
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(row) + " |" for row in rows)])
