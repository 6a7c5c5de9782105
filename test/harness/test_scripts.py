"""Do the scripts do what they promise, above all when they are interrupted?"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "scripts" / "cluster"


def alive(pid):
    """Does the process exist, and is it more than a zombie?"""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def session(leader):
    """The processes of a session: by their ids, their command lines and environments."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes() + (
                    folder / "environ"
                ).read_bytes()
        except OSError:
            pass  # it ended while we looked
    return found


def session_folders(leader):
    """The throwaway folders that the processes of a session know of."""
    return {
        name.decode()
        for text in session(leader).values()
        for name in re.findall(rb"/tmp/otel_links\.\w{8}", text)
    }


def start(test, *command):
    """Starts a script in a session of its own, with no signal ignored, as our own caller may do."""

    def end():
        if process.poll() is None:
            process.terminate()
        process.wait()

    def no_signal_ignored():
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)

    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=no_signal_ignored,
    )
    test.addCleanup(end)
    return process


def wait_until(condition, seconds=30):
    """Waits for a condition; its value when it is true, or at the end.  It may not stay true."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


class Cluster(unittest.TestCase):
    def run_in_cluster(self, *command, settings=(), **kwargs):
        return subprocess.run(
            [CLUSTER, *settings, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **kwargs,
        )

    def query(self, sql, *settings, **kwargs):
        result = self.run_in_cluster("psql", "-XAtc", sql, settings=settings, **kwargs)
        self.assertEqual(result.stderr, "")
        return result.stdout.rstrip("\n")

    def test_the_commands_status_is_the_scripts(self):
        self.assertEqual(self.run_in_cluster("sh", "-c", "exit 7").returncode, 7)

    def test_nothing_is_left_behind(self):
        result = self.run_in_cluster(
            "sh", "-c", 'echo "$CLUSTER_DIR"; head -n 1 "$CLUSTER_DIR/data/postmaster.pid"'
        )
        folder, pid = result.stdout.split()
        self.assertTrue(folder.startswith("/tmp/otel_links."))
        self.assertFalse(alive(pid))
        self.assertFalse(os.path.exists(folder))

    def test_settings_may_hold_any_character(self):
        value = 'it\'s 100% \\ "so"'
        self.assertEqual(
            self.query("SHOW otel.service_name", "-c", f"otel.service_name={value}"), value
        )

    def test_an_inherited_libpq_environment_does_not_count(self):
        environment = os.environ | {
            "PGHOST": "/nowhere",
            "PGPORT": "1",
            "PGDATABASE": "none",
            "PGUSER": "nobody",
            "PGOPTIONS": "-c work_mem=64kB",
        }
        self.assertEqual(
            self.query("SELECT current_user, current_setting('work_mem')", env=environment),
            "postgres|4MB",
        )

    def test_two_clusters_at_once_are_apart(self):
        inner = f"'{CLUSTER}' psql -XAtc 'SELECT count(*) FROM pg_database'"
        result = self.run_in_cluster(
            "sh", "-c", f"createdb one && {inner} && psql -XAtc 'SELECT count(*) FROM pg_database'"
        )
        self.assertEqual(result.stdout.split(), ["3", "4"])

    def interrupt(self, signum, whole_group):
        """Interrupts a running cluster; returns the script's status, and what stayed alive."""
        with tempfile.TemporaryDirectory() as work:
            pids = pathlib.Path(work, "pids")
            process = start(
                self,
                CLUSTER,
                "sh",
                "-c",
                f'echo $$ $(head -n 1 "$CLUSTER_DIR/data/postmaster.pid") $CLUSTER_DIR '
                f">{pids}.new && mv {pids}.new {pids} && exec sleep 600",
            )
            self.assertTrue(wait_until(pids.exists))
            command, postmaster, folder = pids.read_text().split()
        (os.killpg if whole_group else os.kill)(process.pid, signum)
        status = process.wait(30)
        left = [
            pid
            for pid in (command, postmaster)
            if not wait_until(lambda pid=pid: not alive(pid), 5)
        ]
        return status, left + [f for f in [folder] if os.path.exists(f)]

    def test_ctrl_c_ends_everything(self):
        self.assertEqual(self.interrupt(signal.SIGINT, True), (130, []))

    def test_terminating_the_script_ends_everything(self):
        self.assertEqual(self.interrupt(signal.SIGTERM, False), (143, []))

    def test_a_closed_terminal_ends_everything(self):
        self.assertEqual(self.interrupt(signal.SIGHUP, True), (143, []))

    def test_a_checkout_that_the_server_may_not_enter_will_do(self):
        with tempfile.TemporaryDirectory() as work:  # its mode is 0700
            shutil.copytree(ROOT / "scripts", pathlib.Path(work, "scripts"))
            result = subprocess.run(
                [pathlib.Path(work, "scripts", "cluster"), "psql", "-XAtc", "SELECT 1"],
                cwd=work,
                capture_output=True,
                text=True,
                check=False,
            )
        self.assertEqual((result.stdout, result.stderr), ("1\n", ""))


class Demo(unittest.TestCase):
    def interrupt_at(self, marker, hold_receiver):
        """Ctrl-C once one of the demo's folders has a file; a held receiver makes the demo wait."""
        process = start(self, ROOT / "demo" / "run", "--no-setup")
        seen = set()
        held = []

        def reached():
            processes = session(process.pid)
            seen.update(session_folders(process.pid))
            if (
                hold_receiver
                and not held
                and any(os.path.exists(f"{folder}/port") for folder in seen)
            ):
                held.extend(pid for pid, text in processes.items() if b"otlp_receiver.py\0" in text)
                for pid in held:
                    os.kill(pid, signal.SIGSTOP)
            return any(any(pathlib.Path(folder).glob(marker)) for folder in seen)

        self.assertTrue(wait_until(reached), marker)
        os.killpg(process.pid, signal.SIGINT)
        for pid in held:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(process.wait(30), 130)
        self.assertTrue(wait_until(lambda: not session(process.pid)), session(process.pid))
        self.assertEqual([folder for folder in seen if os.path.exists(folder)], [])

    def test_ctrl_c_while_the_cluster_is_made_leaves_nothing_behind(self):
        self.interrupt_at("port", hold_receiver=False)

    def test_ctrl_c_while_the_scenario_plays_leaves_nothing_behind(self):
        self.interrupt_at(".s.PGSQL.*", hold_receiver=True)

    def test_it_knows_its_option(self):
        result = subprocess.run(
            [ROOT / "demo" / "run", "--wrong"], capture_output=True, text=True, check=False
        )
        self.assertEqual(result.returncode, 1)
        self.assertIn("usage", result.stderr)


class RunTap(unittest.TestCase):
    def count(self, *outputs):
        with tempfile.TemporaryDirectory() as work:
            files = [pathlib.Path(work, f"{i}.sh") for i in range(len(outputs))]
            for file, output in zip(files, outputs):
                file.write_text(output)
            result = subprocess.run(
                [ROOT / "scripts" / "run-tap", "--exec", "sh", *files],
                capture_output=True,
                text=True,
                check=False,
            )
        return result.stdout.splitlines()[-1], result.returncode

    def test_tests_are_counted_not_files(self):
        self.assertEqual(
            self.count("echo ok 1; echo ok 2; echo 1..2", "echo 1..1; echo ok 1"),
            ("run-tap: 3 passed, 0 failed, 0 skipped", 0),
        )

    def test_a_failure_a_missing_plan_and_a_bad_end_are_failures(self):
        self.assertEqual(
            self.count("echo 1..2; echo ok 1; echo not ok 2"),
            ("run-tap: 1 passed, 1 failed, 0 skipped", 1),
        )
        self.assertEqual(self.count("echo ok 1"), ("run-tap: 1 passed, 1 failed, 0 skipped", 1))
        self.assertEqual(
            self.count("echo 1..1; echo ok 1; exit 3"),
            ("run-tap: 1 passed, 1 failed, 0 skipped", 1),
        )
        self.assertEqual(
            self.count("echo 1..3; echo ok 1"), ("run-tap: 1 passed, 2 failed, 0 skipped", 1)
        )

    def test_what_is_skipped_has_not_passed(self):
        self.assertEqual(
            self.count(
                "echo 'ok 1 # SKIP not here'; echo ok 2; echo 1..2", "echo '1..0 # SKIP not there'"
            ),
            ("run-tap: 1 passed, 0 failed, 2 skipped", 0),
        )

    def test_no_test_at_all_is_no_success(self):
        self.assertEqual(self.count("echo 1..0")[1], 1)


if __name__ == "__main__":
    unittest.main()
