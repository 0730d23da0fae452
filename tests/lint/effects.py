"""What a test file does beside being refused: the text of each of its tests, without what only names or misuses a key."""
import ast

# With these a test shows that something is refused; a helper that does nothing else is found by refusing_helpers().
REFUSALS = {"assert_api_error", "assertRaises", "assertRaisesRegex"}
# With these it looks into the guest, at the kernel or at the host; the rest is told by the daemon itself.
LOOKS = {"sh", "exec", "exec_start", "pull", "run", "host", "Popen", "open", "exists", "readlink", "read_text", "connect",
         "maps"}


def called(node):
    """Name of what a call calls, without what it is a member of."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", getattr(node.func, "id", ""))
    return ""


def outside(node, of):
    return not of.lineno <= node.lineno <= of.end_lineno


def is_failure_check(node):
    """self.assertNotEqual(done.returncode, 0)"""
    return called(node) == "assertNotEqual" and any(getattr(one, "attr", "") == "returncode" for one in node.args)


def refusing_helpers(tree):
    """Helpers that take what is to be refused: their last word, or their own statement, is that it was."""
    found = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name.startswith("test_") or len(function.args.args) < 1:
            continue
        for statement in function.body:
            value = getattr(statement, "value", None)
            items = [item.context_expr for item in getattr(statement, "items", ())]
            if is_failure_check(value) or any(called(one) in REFUSALS for one in (value, *items)):
                found.add(function.name)
    return found


class Refused:
    """Parts of one file that set nothing: what is refused, and where a key is only named."""

    def __init__(self, tree):
        self.parts, self.inside = [], set()
        names = REFUSALS | refusing_helpers(tree)
        for node in ast.walk(tree):
            for one in self.only_named(node):
                self.add(one)
            items = [item.context_expr for item in node.items] if isinstance(node, ast.With) else []
            if any(called(one) in names for one in (node, *items)):
                self.add(node)
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                self.follow(list(ast.walk(function)))

    @staticmethod
    def only_named(node):
        """assertIn("limits.memory", ...), config["limits.memory"], config.get("limits.memory")"""
        if called(node).startswith("assert") or called(node) == "get":
            return [one for one in node.args if isinstance(one, ast.Constant)]
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            return [node.slice]
        return []

    def add(self, part):
        self.parts.append(part)
        self.inside |= {id(one) for one in ast.walk(part)}

    def holds(self, node):
        return id(node) in self.inside

    def follow(self, nodes):
        """What a function's variable or loop holds is refused when nothing else uses it."""
        if not any(self.holds(node) for node in nodes):
            return
        shown = {id(one) for node in nodes if called(node) == "subTest" for one in ast.walk(node)}
        read = [one for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load) and id(one) not in shown]
        held = [(node, node.value, node.targets) for node in nodes if isinstance(node, ast.Assign)] + \
               [(node, node.iter, [node.target]) for node in nodes if isinstance(node, ast.For)]
        found = True
        while found:
            found = False
            for node, value, targets in held:
                names = {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
                uses = [one for one in read if one.id in names and not (isinstance(node, ast.For) and outside(one, node))]
                if uses and not self.holds(value) and all(self.holds(one) for one in uses):
                    self.add(value)
                    found = True

    def blank(self, text):
        lines = [line.encode() for line in text.split("\n")]
        for part in self.parts:
            for number in range(part.lineno - 1, part.end_lineno):
                line = lines[number]
                first = part.col_offset if number == part.lineno - 1 else 0
                last = part.end_col_offset if number == part.end_lineno - 1 else len(line)
                lines[number] = line[:first] + b" " * (last - first) + line[last:]
        return [line.decode() for line in lines]


def definitions(tree):
    """Name -> what is defined by it in the file: functions, and values of the module and of classes."""
    found = {}
    for body in [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
        for node in body:
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    for one in ast.walk(target):
                        if isinstance(one, ast.Name):
                            found.setdefault(one.id, []).append(node)
    return found


class Definition:
    """One of them: its text, the names that it uses, and whether it looks."""

    def __init__(self, node, lines, refused):
        self.text = "\n".join(lines[node.lineno - 1:node.end_lineno])
        used = [one for one in ast.walk(node) if isinstance(one, (ast.Name, ast.Attribute))]
        self.names = {getattr(one, "id", getattr(one, "attr", "")) for one in used}
        self.looks = any(called(one) in LOOKS and not refused.holds(one) for one in ast.walk(node))


def reached(roots, known):
    """The roots, and what of the file they use, directly or not."""
    out, todo = {}, list(roots)
    while todo:
        one = todo.pop()
        if id(one) not in out:
            out[id(one)] = one
            todo += [other for name in one.names for other in known.get(name, ())]
    return list(out.values())


def tests(text):
    """Of each test that looks at something: its name, and what it sets, as text."""
    tree = ast.parse(text)
    refused = Refused(tree)
    lines = refused.blank(text)
    known = {name: [Definition(node, lines, refused) for node in nodes] for name, nodes in definitions(tree).items()}
    prepared = known.get("setUp", []) + known.get("setUpClass", [])
    for name, roots in known.items():
        if name.startswith("test_"):
            parts = reached([*roots, *prepared], known)
            if any(part.looks for part in parts):
                yield name, "\n".join(part.text for part in parts)
