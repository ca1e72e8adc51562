def describe(bench):
    return "todo"
