"""`make chaos`: kills processes under load with SIGKILL, takes broker and Milvus away, and proves what is left.

A whole deployment on loopback: Apache Kafka, a Milvus Lite server, two faust workers (one with the sink), an engine.
Clicks flow at half of what the workers were just measured to take; a campaign and a creative change ten times a second,
and the engine is asked all the while. Afterwards every acknowledged click is there exactly once, every batch of the
store is proved against the log, and every answer of the engine is compared with the one version it names.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from chaos_load import Load, Probe, user_of
from report import Report
from rich.console import Console

from adgram.core import rows
from adgram.core.catalogue import Campaign, Creative
from adgram.core.clock import NS_PER_SECOND
from adgram.core.commit import Table
from adgram.core.errors import AdgramError
from adgram.memory.config import MemoryConfig
from adgram.memory.snapshot import MemorySnapshot
from adgram.memory.store import MilvusStore
from adgram.memory.verification import verify
from adgram.programs.children import Child, Children, adgram
from adgram.programs.deployment import serving
from adgram.streaming.config import StreamingConfig
from adgram.streaming.local_broker import free_port
from adgram.streaming.log import KafkaCommitLog
from adgram.streaming.topics import ensure_topics

SHARDS = 4
KILLS = 20  # at least, and within ten minutes
STARTS = 3  # of a part that ends while it starts (Milvus Lite aborts now and then), before the run is given up
BURST = 4_000  # clicks by which the workers' capacity is measured
CONFIG = '[engine]\nexploration = 0.0\n[streaming]\nshards = 4\ntopic_prefix = "adgram."\n'
VICTIMS = ("worker", "engine", "broker", "milvus", "other worker")


class Part:
    """One process of the deployment, that can be killed and started again at the same place."""

    def __init__(self, name: str, children: Children, command: list[str], ready: Callable[[], bool]) -> None:
        self.name, self._children, self._command, self._ready = name, children, command, ready
        self.wanted, self.restarts, self.failed_starts = False, 0, 0
        self.child: Child | None = None

    def start(self, wait_s: float = 120.0) -> None:
        """Afterwards it runs, and is ready if there is time to wait for that.

        What ends while it starts is started again, as a supervisor would do, and counted in `failed_starts`.
        """
        for attempt in range(STARTS):
            child = self._children.start(f"{self.name.replace(' ', '-')}-{self.restarts}", self._command)
            self.child = child
            self.restarts += 1
            self.wanted = bool(wait_s == 0.0)  # until it is ready nobody else is to start it again
            if not wait_s:
                return
            try:
                child.wait_until(self._ready, wait_s)
            except AdgramError:
                if child.process.poll() is None or attempt == STARTS - 1:
                    raise
                self.failed_starts += 1
            else:
                self.wanted = True
                return

    def wait_told(self, words: str, wait_s: float) -> None:
        """Afterwards its log holds these words."""
        child = self.child
        if child is not None:
            child.wait_until(lambda: words in child.log.read_text(errors="replace"), wait_s)

    def kill(self) -> None:
        """Afterwards it is gone, without having known."""
        self.wanted = False
        if self.child is not None and self.child.process.poll() is None:
            os.killpg(self.child.process.pid, signal.SIGKILL)
            self.child.process.wait()

    def ended(self) -> bool:
        """Whether it should run and does not, as a supervisor would see."""
        return self.wanted and self.child is not None and self.child.process.poll() is not None


class Chaos:
    """The deployment, and what is done to it."""

    def __init__(self, folder: Path, models: Path, kafka: Path, stack: ExitStack) -> None:
        self.console = Console()
        children = stack.enter_context(Children(folder / "logs"))
        ports = {name: free_port() for name in ("milvus", "engine")}
        ports["broker"] = _port_with_neighbour()
        config = folder / "adgram.toml"
        config.write_text(CONFIG)
        self.streaming = StreamingConfig(bootstrap=f"127.0.0.1:{ports['broker']}", shards=SHARDS)
        self.memory = MemoryConfig(milvus_uri=f"http://127.0.0.1:{ports['milvus']}")
        common = ("--models", str(models), "--bootstrap", self.streaming.bootstrap, "--config", str(config))
        milvus = ("--milvus", self.memory.milvus_uri)
        lite = [str(Path(sys.executable).with_name("milvus-lite")), "server", "--data-dir", str(folder / "milvus")]
        broker = [str(kafka), str(folder / "kafka"), str(ports["broker"]), "384"]
        engine = ("--port", str(ports["engine"]), "--state", str(folder / "engine"))
        address = f"127.0.0.1:{ports['engine']}"

        def part(name: str, command: list[str], ready: Callable[[], bool]) -> Part:
            return Part(name, children, command, ready)

        self.parts = {
            "broker": part("broker", broker, lambda: _listens(ports["broker"])),
            "milvus": part(
                "milvus", [*lite, "--host", "127.0.0.1", "--port", str(ports["milvus"])],
                lambda: _listens(ports["milvus"]),
            ),
            "worker": part("worker", adgram("ingest", *common, *milvus), lambda: True),
            "other worker": part("other worker", adgram("ingest", *common, *milvus, "--no-sink"), lambda: True),
            "engine": part("engine", adgram("serve", *common, *milvus, *engine), lambda: serving(address)),
        }  # fmt: skip
        self.probe = Probe(self.streaming, address)
        self.moves: list[float] = []
        self.recoveries: list[float] = []
        self._supervising = threading.Event()

    def start(self) -> None:
        for name in ("broker", "milvus"):
            self.parts[name].start()
        ensure_topics(self.streaming)
        for name in ("worker", "other worker"):
            self.parts[name].start()
        threading.Thread(target=self._supervise, daemon=True).start()

    def start_engine(self) -> None:
        self.parts["engine"].start(180.0)
        for work in (self.probe.run_changes, self.probe.run_requests):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """Afterwards nobody is started again."""
        self._supervising.set()

    def capacity(self, load: Load) -> float:
        """Clicks the workers fold and commit a second, with nothing else to do but a burst."""
        load.send(200)
        load.flush()
        self.wait_folded(load, 120)
        began = time.monotonic()
        load.send(BURST)
        load.flush()
        self.wait_folded(load, 120)
        return BURST / (time.monotonic() - began)

    def wait_folded(self, load: Load, timeout_s: float) -> None:
        """Afterwards everything in the feedback topic is covered by commits."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if self._covered() >= len(load.acknowledged) == load.sent or self._covered() >= load.sent:
                return
            time.sleep(0.2)
        raise SystemExit(f"only {self._covered()} of {load.sent} clicks were covered within {timeout_s:.0f} s")

    def kill(self, victim: str) -> None:
        """Kills one process, sees it replaced, and waits until every shard has committed since."""
        part = self.parts[victim]
        if "worker" in victim:
            part.wait_told("shard opened", 60)  # else there is nothing that could move
        part.kill()
        killed_ns, killed = time.time_ns(), time.monotonic()
        if "worker" in victim:
            self._wait_committed(killed_ns + NS_PER_SECOND // 20, 60)
            self.moves.append(time.monotonic() - killed)
            part.start(0)
        else:
            part.start()
            if victim == "broker":
                self._wait_committed(time.time_ns(), 90)
        self.recoveries.append(time.monotonic() - killed)
        self.console.print(f"killed {victim}: on again after {self.recoveries[-1]:.1f} s")

    def away(self, name: str, seconds: float) -> None:
        """Takes a part away for a while."""
        self.parts[name].kill()
        time.sleep(seconds)
        self.parts[name].start()
        back = time.monotonic()
        self._wait_committed(time.time_ns(), 90)
        self.console.print(
            f"{name} away for {seconds:.0f} s: commits go on {time.monotonic() - back:.1f} s after its return"
        )

    def mixed(self, log: KafkaCommitLog) -> int:
        """How many answers do not show exactly what the version they name holds."""
        told: dict[Table, tuple[int, list[int], list[object]]] = {}
        for shard in range(SHARDS):
            for commit in log.read(shard, 0):
                for row in commit.rows:
                    if row.key in ("chaos-k", "chaos-c"):
                        _, numbers, values = told.setdefault(row.table, (shard, [], []))
                        numbers.append(commit.number)
                        values.append(rows.value(row))
        wrong = 0
        for answer in self.probe.served:
            shown = {}
            for table, (shard, numbers, values) in told.items():
                at = bisect_right(numbers, answer.version[shard])
                shown[table] = values[at - 1] if at else None
            campaign, creative = shown.get(Table.CAMPAIGN), shown.get(Table.CREATIVE)
            wrong += not (
                isinstance(campaign, Campaign)
                and isinstance(creative, Creative)
                and (campaign.bid.micros, creative.title) == (answer.bid_micros, answer.title)
            )
        return wrong

    def _covered(self) -> int:
        """How many records of the feedback topic the newest commits cover."""
        try:
            log = KafkaCommitLog(self.streaming)
        except AdgramError:
            return 0
        try:
            lasts = [log.last(shard) for shard in range(SHARDS)]
        except AdgramError:
            return 0
        finally:
            log.close()
        return sum(last.offsets.get("feedback", -1) + 1 for last in lasts if last is not None)

    def _wait_committed(self, since_ns: int, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        late = set(range(SHARDS))
        log: KafkaCommitLog | None = None
        while late and time.monotonic() < until:
            try:
                log = log or KafkaCommitLog(self.streaming)
                late -= {shard for shard in late if (last := log.last(shard)) and last.ingest_time > since_ns}
            except AdgramError:
                log = None
            time.sleep(0.2)
        if log is not None:
            log.close()
        if late:
            raise SystemExit(f"shards {sorted(late)} did not commit within {timeout_s:.0f} s")

    def _supervise(self) -> None:
        """Starts again whatever ended by itself, as an operator's supervisor would."""
        while not self._supervising.wait(0.5):
            for part in self.parts.values():
                if part.ended():
                    part.start(0)


def lost_or_doubled(load: Load, log: KafkaCommitLog) -> list[str]:
    """Acknowledged clicks that are not in memory exactly once, in words."""
    snapshot = MemorySnapshot.empty(SHARDS)
    for shard in range(SHARDS):
        for commit in log.read(shard, 0):
            snapshot = snapshot.fold(commit)
    wanted: dict[str, set[str]] = {}
    for number in load.acknowledged:
        wanted.setdefault(user_of(number), set()).add(f"e{number}")
    found = []
    for user, ids in wanted.items():
        state = snapshot.user(user)
        seen = list(state.recent_event_ids) if state else []
        if len(seen) != len(set(seen)) or (state is not None and state.events != len(seen)):
            found.append(f"{user}: a click was folded twice")
        if missing := ids - set(seen):
            found.append(f"{user}: {len(missing)} clicks are missing")
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _port_with_neighbour() -> int:
    """Kafka's controller listens on the next port."""
    while _listens((port := free_port()) + 1):
        continue
    return port


def models_in(folder: Path) -> Path:
    """A small world's models, trained once."""
    models = folder / "models"
    if not (models / "train.json").exists():
        made = ("world", str(folder / "world"), "--seed", "7", "--items", "400", "--users", "300")
        fitted = ("train", str(folder / "world"), "--models", str(models), "--minutes", "0.3", "--all")
        for command in (made, fitted):
            subprocess.run(adgram(*command), check=True, stdout=subprocess.DEVNULL)
    return models


def main() -> int:
    """0 when nothing was lost, doubled, damaged or mixed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", type=Path, required=True, help="a start script: START DATA_DIR PORT HEAP_MB")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"))
    parser.add_argument("--models", type=Path, help="trained models; a small world's by default")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--away", type=float, default=60.0, help="seconds without broker, then without Milvus")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    models = asked.models or models_in(asked.out)
    rng, report = random.Random(asked.seed), Report("chaos")
    with ExitStack() as stack:
        folder = asked.out / time.strftime("%H%M%S")
        folder.mkdir()
        chaos = Chaos(folder, models, asked.kafka, stack)
        chaos.start()
        load = Load(chaos.streaming)
        capacity = chaos.capacity(load)
        chaos.start_engine()
        began = time.monotonic()
        load.start(capacity / 2)
        chaos.console.print(f"two workers take {capacity:,.0f} clicks/s; load {capacity / 2:,.0f}/s")
        victims = [VICTIMS[index % len(VICTIMS)] for index in range(asked.kills)]
        rng.shuffle(victims)
        for victim in victims:
            time.sleep(rng.uniform(2.0, 4.0))
            chaos.kill(victim)
        for name in ("broker", "milvus") if asked.away else ():
            chaos.away(name, asked.away)
        took_s = time.monotonic() - began
        time.sleep(3.0)
        chaos.probe.stopping.set()
        load.stop()
        return _proved(chaos, load, report, asked.kills, took_s, capacity)


def _proved(chaos: Chaos, load: Load, report: Report, kills: int, took_s: float, capacity: float) -> int:
    until = time.monotonic() + 240
    log = KafkaCommitLog(chaos.streaming)
    while (wrong := lost_or_doubled(load, log)) and time.monotonic() < until:
        time.sleep(1.0)
    store = MilvusStore(chaos.memory)
    for shard in range(SHARDS):
        last = log.last(shard)
        while last is not None and store.head(shard) < last.number and time.monotonic() < until:
            time.sleep(0.5)
    chaos.stop()
    for name in ("worker", "other worker", "engine"):
        chaos.parts[name].wanted = False
        child = chaos.parts[name].child
        if child is not None:
            child.stop()
    proofs = [verify(store, shard, log) for shard in range(SHARDS)]
    damage = [problem for proof in proofs for problem in proof.problems]
    behind = sum((last.number if (last := log.last(shard)) else 0) - store.head(shard) for shard in range(SHARDS))
    how = f"{kills} kill -9: broker, Milvus Lite, engine, two workers; at {load.rate:,.0f} of {capacity:,.0f} clicks/s"
    report.add("acknowledged clicks lost or folded twice", len(wrong), "users", how, to_reach=0)
    report.add("acknowledged clicks", len(load.acknowledged), "clicks", how, better="higher")
    report.add("batches that do not verify against the log", len(damage), "batches", how, to_reach=0)
    report.add("batches proved from the log", sum(one.from_log for one in proofs), "batches", how, better="higher")
    report.add("commits not yet in the store at the end", behind, "commits", "4 minutes after the load at most")
    mixed = chaos.mixed(log)
    report.add("answers of a mixed snapshot", mixed, "answers", how, to_reach=0)
    report.add("answers compared with their version", len(chaos.probe.served), "answers", how, better="higher")
    report.add(
        "requests without an answer", chaos.probe.silent, "requests", "the engine was dead, starting or had nothing"
    )
    report.add("kills", kills, "kills", how, better="higher", to_reach=KILLS)
    failed = {part.name: part.failed_starts for part in chaos.parts.values() if part.failed_starts}
    report.add("starts that ended at once", sum(failed.values()), "starts", f"by themselves, started again: {failed}")
    report.add("time under kills and absences", took_s, "s", how, to_reach=600 if kills <= KILLS else None)
    if chaos.moves:
        report.add(
            "a dead worker's partitions moved, worst", max(chaos.moves), "s", f"of {len(chaos.moves)}", to_reach=15
        )
    report.write()
    for problem in (*wrong[:5], *damage[:5]):
        chaos.console.print(f"[red]{problem}")
    store.close()
    log.close()
    return 1 if wrong or damage or mixed else 0


if __name__ == "__main__":
    sys.exit(main())
