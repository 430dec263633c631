"""The AWS CLI of build/tools for tests that call it often: it is loaded once, and each call is a copy of that process.

`aws_cli.py SOCKET ARGUMENTS...` is the call: it hands its arguments, environment, folder and standard streams to the process that
`aws_cli.py --serve SOCKET` began, and ends as the call ends.
"""
import array
import gc
import json
import os
import socket
import sys
import traceback


def call(path, words):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        body = json.dumps({"words": words, "env": dict(os.environ), "folder": os.getcwd()}).encode()
        s.sendmsg([len(body).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
        s.sendall(body)
        answer = s.recv(1)
    sys.exit(answer[0] if answer else 255)


def read(s):
    head, more, _, _ = s.recvmsg(4, socket.CMSG_LEN(12))
    streams = array.array("i", more[0][2])
    size, body = int.from_bytes(head, "big"), b""
    while len(body) < size:
        body += s.recv(size - len(body))
    return json.loads(body), streams


def run(s, main, kept):
    asked, streams = read(s)
    child = os.fork()
    if child == 0:
        for i, fd in enumerate(streams):
            os.dup2(fd, i)
        os.environ.clear()
        os.environ.update(asked["env"], **kept)
        os.chdir(asked["folder"])
        sys.argv = ["aws"] + asked["words"]
        code = 255
        try:
            code = main()
        except SystemExit as e:
            code = e.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    for fd in streams:
        os.close(fd)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255
    try:
        s.sendall(bytes([code]))
    except OSError:
        pass                                               # who asked has been ended
    s.close()


def serve(path):
    import awscli.clidriver
    import awscli.customizations.assumerole as roles
    import botocore.httpsession                                # noqa: F401, what each call would load again
    loader = awscli.clidriver.create_clidriver().session.get_component("data_loader")
    for name in ("ecs", "ecr", "elasticbeanstalk", "sts"):
        for kind in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model(name, kind)
    loader.load_data("endpoints")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    kept = {"AWS_DATA_PATH": os.environ["AWS_DATA_PATH"]}      # set as it was loaded: where its own data is

    def main():
        roles.CACHE_DIR = os.path.expanduser("~/.aws/cli/cache")       # in the HOME of the call
        driver = awscli.clidriver.create_clidriver()
        driver.session.register_component("data_loader", loader)
        return driver.main()

    gc.freeze()
    print("ready", flush=True)
    while True:
        run(listener.accept()[0], main, kept)


if sys.argv[1] == "--serve":
    serve(sys.argv[2])
else:
    call(sys.argv[1], sys.argv[2:])
