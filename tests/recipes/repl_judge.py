"""The REPL on a pseudo-terminal: pexpect types, pyte is the terminal that shows what comes.

    repl_judge.py HKRUN CASE        runs the function of that name; the environment is the REPL's
"""
import io
import os
import sys
import time

import pexpect
import pyte


class Repl:
    def __init__(self, columns=80, rows=24, words=("repl",), **env):
        self.screen = pyte.HistoryScreen(columns, rows, history=5000)
        self.stream = pyte.Stream(self.screen)
        self.env = {**os.environ, **env}
        for name in [n for n, v in self.env.items() if v is None]:
            del self.env[name]
        self.child = pexpect.spawn(sys.argv[1], list(words), env=self.env, dimensions=(rows, columns), encoding="utf-8")
        self.wait(lambda: self.line().endswith("> "))

    def read(self):
        try:
            self.stream.feed(self.child.read_nonblocking(65536, 0.05))
        except pexpect.TIMEOUT:
            pass

    def text(self):
        """Everything that was ever on the screen, without blanks at the ends of lines."""
        old = ["".join(row[x].data for x in range(self.screen.columns)) for row in self.screen.history.top]
        return "\n".join(line.rstrip() for line in old + self.screen.display)

    def line(self):
        """The line of the cursor, up to it."""
        return self.screen.display[self.screen.cursor.y][:self.screen.cursor.x]

    def wait(self, done, seconds=20):
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise AssertionError("not seen in time; the terminal shows:\n" + self.text().strip())
            try:
                self.read()
            except pexpect.EOF:
                if not done():
                    raise AssertionError("the REPL ended; the terminal shows:\n" + self.text().strip())

    def see(self, text):
        self.wait(lambda: text in self.text())

    def type(self, keys, line=None):
        """Types; waits until the line of the cursor ends like that."""
        self.child.send(keys)
        if line is not None:
            self.wait(lambda: self.line().endswith(line))

    def clear(self):
        """Leaves the line that is being typed."""
        self.child.send("\x03")
        self.wait(lambda: self.line().endswith("> ") and self.line().count("> ") == 1)

    def leave(self):
        self.child.send("\x04")
        self.child.expect(pexpect.EOF, timeout=20)
        self.child.close()
        assert self.child.exitstatus == 0, self.child.exitstatus


def history():
    path = os.environ["XDG_STATE_HOME"] + "/hkrun/history"
    with open(path) as file:
        return path, file.read()


def completion():
    t = Repl(AWS_REGION=None, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, AWS_ENDPOINT_URL=None)
    t.type("aws.elastic\t")
    t.see("elasticbeanstalk")
    t.clear()
    t.type("aws.ec2:describe_vpc\t")
    t.see("describe_vpc_endpoints")
    t.type("s\t", "aws.ec2:describe_vpcs")
    t.type("{ Fil\t", "describe_vpcs{ Filters = ")
    t.type("{ { Na\t", "{ { Name = ")
    t.clear()
    t.type("aws.rds:desc\tdb_instances{ M\t")
    t.see("MaxRecords")
    t.clear()
    t.type('aws.ec2:run_instances{ InstanceType = "t3.mi\t', '"t3.micro"')
    t.clear()
    t.type("aws.ec2:run_instances{ Mon\t{ En\ttr\t")
    t.see("Monitoring = { Enabled = true")
    t.clear()
    t.type('r = json.decode "{\\"Vpcs\\": [{\\"VpcId\\": \\"v\\"}]}"\r', "> ")
    t.type("r.Vpcs[1].Vpc\t", "r.Vpcs[1].VpcId")
    t.clear()
    t.type(":prof\tst\t", ":profile staging")
    t.clear()
    t.type(":region eu-no\t", ":region eu-north-1")
    t.clear()
    t.type("hero\t.ap\t")
    t.see("apps")
    t.clear()
    t.leave()


def remembers():
    t = Repl()
    t.type("first = 1\r", "> ")
    t.type("for i = 1, 2 do\r", ">> ")
    t.type("print('turn', i)\r", ">> ")
    t.type("end\r", "> ")
    t.see("turn\t2".expandtabs(8))
    for line in ['x = secret.new("hunter2")', 'k = "AKIAIOSFODNN7EXAMPLE"', ' spaced = 1', 'password = "hunter2"',
                 'u = "postgres://app:hunter2@db.example.com/shop"', 'w = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab"']:
        t.type(line + "\r")
        t.wait(lambda: t.line().endswith("> ") and line[:9] in t.text())
    t.type("last = 2\r", "> ")
    t.leave()
    path, text = history()
    assert text == "first = 1\nfor i = 1, 2 do\\nprint('turn', i)\\nend\nlast = 2\n", text
    assert os.stat(path).st_mode & 0o777 == 0o600
    t = Repl()
    t.type("\x1b[A", "last = 2")
    t.type("\x1b[A", "end")
    t.type("\r", "> ")
    t.see("turn    2")
    t.leave()


def searches():
    t = Repl()
    for line in ["alpha = 11", "beta = alpha + 31", "gamma = 5"]:
        t.type(line + "\r")
        t.wait(lambda: line in t.text() and t.line().endswith("> "))
    t.type("\x12alp", "beta = alpha + 31")
    t.see("search `alp'")
    t.type("\x12", "alpha = 11")
    t.type("\x07")
    t.wait(lambda: t.line().endswith("> "))
    t.type("\x12= alpha", "beta = alpha + 31")
    t.type("\x05 + 0", "beta = alpha + 31 + 0")
    t.type("\r", "> ")
    t.type("beta\r")
    t.see("\n42\n")
    t.type("\x12nothing like that")
    t.see("no search")
    t.clear()
    t.type("\x12gamma = 5", "gamma = 5")
    t.type("\r")
    t.wait(lambda: t.text().count("gamma = 5") >= 2 and t.line().endswith("> "))
    t.leave()


def cancels():
    t = Repl()
    t.type("aws.ec2:describe_volumes{}\r")
    t.see("describe_volumes{}\n")
    with open(os.environ["HANGS"]) as fifo:           # opens when the server has the request
        fifo.read()
    t.child.send("\x03")
    t.see("cancelled")
    t.wait(lambda: t.line().endswith("> "))
    t.type("20 + 22\r")
    t.see("\n42\n")
    t.type("while true do end\r")
    t.see("while true do end\n")
    t.child.send("\x03")
    t.wait(lambda: t.text().count("cancelled") == 2 and t.line().endswith("> "))
    t.type("function f(\r", ">> ")
    t.type("\x03", "> ")
    t.type("7 * 7\r")
    t.see("\n49\n")
    t.type("half a line\x031000 + 1\r")
    t.see("\n1001\n")
    t.leave()
    assert "half" not in history()[1]


def pastes():
    t = Repl()
    t.type("\x1b[200~x = 40\ny = 2\nreturn x + y\n\x1b[201~", "return x + y")
    assert "42" not in t.text()
    t.type("\r")
    t.see("\n42\n")
    t.type("for i = 1, 2 do\nprint('line', i)\nend\n")
    t.see("line    2")
    t.type('"ä€" .. "x"\r')
    t.see("ä€x")
    t.type("6\x1b[H1\x1b[F*2\x1b[D\x1b[D\x1b[3~+", "16+")            # Home, End, Left, Delete
    for key in ("\x1b[5~", "\x1b[6~", "\x1b[2~", "\x1bOP", "\x1b[15~", "\x1b[1;2A", "\x1b[200;1~", "\x1b[1~", "\x1b[4~"):
        t.type(key)
    t.type("\r")
    t.see("\n18\n")
    t.leave()
    assert "x = 40\\ny = 2\\nreturn x + y\n" in history()[1]


def tables():
    seen = {}
    for columns in (80, 200):
        t = Repl(columns=columns, rows=60)
        t.type("aws.ec2:describe_vpcs{}\r")
        t.see("vpc-2")
        t.wait(lambda: t.line().endswith("> "))
        rows = [line for line in t.text().split("\n") if "vpc-1" in line or "vpc-2" in line]
        assert len(rows) == 2, rows
        assert rows[0].index("vpc-1") == rows[1].index("vpc-2"), rows
        assert rows[0].index("10.0.0.0/16") == rows[1].index("10.1.0.0/16"), rows
        seen[columns] = len(rows[0])
        t.leave()
    assert seen[80] <= 80 < seen[200] <= 200, seen


def refuses():
    t = Repl()
    assert "read-only" in t.line(), t.line()
    t.type('aws.ec2:create_vpc{ CidrBlock = "10.0.0.0/16" }\r')
    t.see(":write on")
    t.wait(lambda: t.line().endswith("> "))
    assert not os.path.exists(os.environ["CREATED"])
    t.type(":write on\r")
    t.see("writing is allowed")
    t.wait(lambda: t.line().endswith("> "))
    assert "read-only" not in t.line(), t.line()
    t.type('aws.ec2:create_vpc{ CidrBlock = "10.0.0.0/16" }.Vpc.VpcId\r')
    t.see("\nvpc-new")
    assert os.path.exists(os.environ["CREATED"])
    t.type(":write off\r")
    t.see("is refused")
    t.wait(lambda: "read-only" in t.line())
    t.leave()


def asks():
    t = Repl(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    t.type(":profile admin\r")
    t.wait(lambda: t.line().startswith("admin us-east-1"))
    prompt = "MFA code of arn:aws:iam::1:mfa/me: "
    t.type("aws.ec2:describe_vpcs()\r", prompt)
    t.child.send("\x03")
    t.wait(lambda: t.line().endswith("> "))
    t.type("aws.ec2:describe_vpcs()\r", prompt)
    t.type("999999\r")
    t.see("invalid MFA one time pass code")
    t.wait(lambda: t.line().endswith("> "))
    t.type("aws.ec2:describe_vpcs()\r", prompt)
    t.type("123456\r")
    t.see("vpc-1")
    t.wait(lambda: t.line().endswith("> "))
    t.type("aws.ec2:describe_vpcs().Vpcs:count()\r")
    t.see("\n2\n")
    assert "123456" not in t.text() and "999999" not in t.text()
    assert t.text().count(prompt.rstrip()) == 3
    t.type("'seen'", "'seen'")
    t.clear()
    t.leave()


def settings():
    t = Repl()
    t.type(":region eu-north-1\r")
    t.wait(lambda: t.line().startswith("eu-north-1") and t.line().endswith("> "))
    t.type("aws.ec2.region\r")
    t.see("\neu-north-1\n")
    t.type(":profile staging\r")
    t.wait(lambda: t.line().startswith("staging eu-north-1"))
    t.type(":profile stagin\r")
    t.see("no AWS profile stagin")
    t.type('aws.use { region = "us-west-2" }\r')
    t.wait(lambda: t.line().startswith("staging us-west-2"))
    t.type(":time 1 + 1\r")
    t.see(" seconds")
    t.type("6 * 7\r")
    t.see("\n42\n")
    t.type("_ + 1\r")
    t.see("\n43\n")
    t.type(":json on\r{ a = 1 }\r")
    t.see('"a": 1')
    t.type("nil + 1\r")
    t.see("attempt to perform arithmetic on a nil value")
    assert "traceback" not in t.text()
    t.type("help\r")
    t.see("Lua 5.4 with these at hand")
    t.wait(lambda: t.line().endswith("> "))
    t.type("exit = 'mine'\rexit\r")
    t.see("\nmine\n")
    t.type("quit\r")
    t.child.expect(pexpect.EOF, timeout=20)
    t = Repl()
    t.type(":quit\r")
    t.child.expect(pexpect.EOF, timeout=20)


def pages():
    entry = "(('line\\n'):rep(98)) .. 'the end'\r"
    t = Repl(PAGER=None)
    t.type(entry)
    t.wait(lambda: t.line() in (":", "-- more -- "))
    assert "the end" not in t.text().replace("'the end'", "")
    t.type("q")
    t.wait(lambda: t.line().endswith("> "))
    t.type(entry)
    t.wait(lambda: t.line() in (":", "-- more -- "))
    t.type("\x03")
    t.wait(lambda: t.line().endswith("> "))
    t.type("1 + 1\r")
    t.see("\n2\n")
    assert "cancelled" not in t.text()
    t.leave()
    t = Repl(PAGER=None, PATH=os.environ["NO_LESS"])
    for keys in ("q", "\x03", " " * 4):
        t.type(entry)
        t.wait(lambda: t.line() == "-- more -- ")
        t.type(keys, "> ")
    assert "the end" in t.text().replace("'the end'", "")
    t.leave()
    t = Repl(PAGER="sed s/^/paged:/")
    t.type(entry)
    t.see("paged:the end")
    t.wait(lambda: t.line().endswith("> "))
    t.leave()


def floods():
    t = Repl(PAGER="cat")
    t.type("('x\\n'):rep(4e4) .. 6 * 7\r")
    time.sleep(0.5)                                  # a terminal that takes its time
    t.see("\n42\n")
    t.leave()


def dumb():
    t = Repl(TERM="dumb", PAGER=None, HKRUN_HISTORY="/dev/null/history")
    t.child.logfile_read = io.StringIO()
    t.type("6 * 7\r")
    t.see("\n42\n")
    t.type("('line\\n'):rep(98) .. 'the ' .. 'end'\r")
    t.see("the end")
    t.wait(lambda: t.line().endswith("> "))
    t.leave()
    assert "\x1b" not in t.child.logfile_read.getvalue()
    assert t.text().count("the history is not kept") == 1, t.text()


def resizes():
    t = Repl()
    t.type("a_line_that_stays", "a_line_that_stays")
    t.screen.resize(30, 120)
    t.child.setwinsize(30, 120)
    t.type(" = 1", "a_line_that_stays = 1")
    t.type("\r", "> ")
    t.type("term.size()\r")
    t.see("\n120\n")
    t.type("help(aws.rds.describe_db_instances)\r")
    t.see("DBInstanceIdentifier")
    t.type("q")
    t.wait(lambda: t.line().endswith("> "))
    t.leave()
    t = Repl(words=())
    t.leave()


globals()[sys.argv[2]]()
