"""Suite ceilometer: what becomes of an image of ours is measured, and found in the store."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass

import pytest

from yoctovirt.smoke.checked import SmokeNode
from yoctovirt.smoke.cleanup import Undo
from yoctovirt.smoke.notrun import not_run
from yoctovirt.smoke.suites.aids.daemons import why_no_process
from yoctovirt.smoke.suites.aids.nova import new_name, open_rest, removal, upload_image
from yoctovirt.smoke.suites.aids.rest import Rest
from yoctovirt.smoke.suites.aids.telemetry import (
    FILE,
    GNOCCHI,
    METRIC,
    Gnocchi,
    Sample,
    Store,
    glance_notifies,
    open_store,
    polled_every,
)
from yoctovirt.smoke.suites.aids.users import make_user

pytestmark = pytest.mark.usefixtures("started")

UNITS = (
    "ceilometer-agent-notification.service", "ceilometer-agent-central.service",
    "ceilometer-polling-central.service", "gnocchi-api.service", "gnocchi-metricd.service",
    "glance-api.service", "rabbitmq-server.service",
)  # fmt: skip
DIAGNOSTICS = (
    "tail -n 60 /var/log/ceilometer/*.log", "tail -n 60 /var/log/gnocchi/*.log",
    "tail -n 40 /var/log/glance/*.log",
)  # fmt: skip

#: Seconds until ceilometer has heard a notification; until gnocchi's metricd has looked for work:
#: that is once a minute, unless it was told otherwise.
HEARD, PROCESSED = 30.0, 70.0
_SIZE, _DOWNLOAD = "image.size", "image.download"

both_stores = pytest.mark.parametrize("to", [GNOCCHI, FILE])


@pytest.fixture(scope="module")
def rest(node: SmokeNode, module_undo: Undo) -> Rest:
    """Return the services, as the administrator."""
    return open_rest(node, module_undo)


@dataclass
class Image:
    """An image of ours in glance."""

    rest: Rest
    id: str
    name: str
    size: int
    notifies: bool  #: whether glance says what becomes of it
    every: float  #: seconds between two samples of its size that are polled; 0: none is
    fetched: bool = False

    @property
    def path(self) -> str:
        """Where glance has it."""
        return f"/v2/images/{self.id}"

    def wait_for(
        self, store: Store, meter: str, count: int = 1, seconds: float = 0.0, why: str = ""
    ) -> list[Sample]:
        """Return the samples in *store* as soon as there are *count*; else fail the check.

        *seconds* may pass until ceilometer is told.
        """
        samples: list[Sample] = []
        seconds += HEARD + (PROCESSED if store.name == GNOCCHI else 0.0)

        def look() -> str:
            samples[:] = store.samples(self.id, meter)
            return "" if len(samples) >= count else f"{len(samples)} of {count}"

        if said := self.rest.until(look, seconds):
            where = "gnocchi" if store.name == GNOCCHI else "the file of ceilometer's samples"
            raise AssertionError(
                f"{why or f'no sample {meter} of an image of ours comes'}: within "
                f"{seconds * self.rest.cloud.node.timeout_scale:.0f} s {where} has {said}"
            )
        return samples

    def wait_for_size(self, store: Store) -> list[Sample]:
        """Return the samples of its size."""
        return self.wait_for(store, _SIZE, seconds=0.0 if self.notifies else self.polled())

    def fetch(self) -> None:
        """Download it."""
        file = f"{self.rest.folder}/{self.name}.back"
        line = self.rest.line("GET", "image", f"{self.path}/file")
        done = self.rest.cloud.shell(f"{line} </dev/null >{file}; head -n 1 {file}")
        assert done.output.strip() == "200", f"no image can be downloaded: {done.output.strip()}"
        self.fetched = True

    def polled(self) -> float:
        """Return the seconds until its size was polled; the check is not run where it never is."""
        if not self.every:
            not_run(
                f"{_SIZE} is not polled{'' if self.notifies else ', and glance does not notify'}"
            )
        if self.every > 300:
            not_run(f"{_SIZE} is polled every {self.every:.0f} s only")
        return self.every


@pytest.fixture(scope="module")
def image(node: SmokeNode, rest: Rest, module_undo: Undo) -> Image:
    """Upload an image whose size is random; it is deleted at the end.

    So is what gnocchi knows of it, as soon as that has heard of its end: a sample that came later
    would make it anew.
    """
    image = Image(
        rest, str(uuid.uuid4()), new_name(), 50_000 + secrets.randbelow(100_000),
        glance_notifies(node), polled_every(node, _SIZE),
    )  # fmt: skip
    if METRIC in rest.types():
        module_undo(_forget(rest, image), 120)
    # Before it is asked for: glance may make it, and answer too late.
    module_undo(removal(rest, "image", image.path), 120)
    file = f"{rest.folder}/{image.name}"
    node.put(secrets.token_bytes(image.size), file)
    upload_image(rest, module_undo, image.name, "bare", "raw", file, {"id": image.id})
    return image


def _forget(rest: Rest, image: Image) -> str:
    """Return a script that removes what gnocchi has of *image*."""
    path = Gnocchi.path(image.id)
    look = f"{rest.line('GET', METRIC, path)} </dev/null"
    wait = (
        f". {rest.cloud.openrc}\nend=$(($(date +%s) + 20))\n"
        f"while told=$({look}); do\n"
        f"  case $told in *'\"ended_at\": null'*|*'\"ended_at\":null'*) ;; *) break ;; esac\n"
        f'  [ "$(date +%s)" -lt $end ] || break\n'
        f"  sleep 1\n"
        f"done\n"
        f"sleep 3\n"  # the last sample comes beside the event that tells the end
    )
    return (wait if image.notifies else "") + removal(rest, METRIC, path)


@pytest.mark.deadline(240)
def test_services(node: SmokeNode, rest: Rest) -> None:
    """The notification agent runs and listens on the message bus; gnocchi has its metricd."""
    wrong = why_no_process(node, "ceilometer-agent-notification")
    assert not wrong, f"ceilometer's notification agent does not run: {wrong}"
    if "rabbitmq" in node.promises:
        said = rest.until(lambda: _nobody_listens(node), 60)
        assert not said, f"ceilometer's notification agent runs, and {said}"
    if METRIC in rest.types():
        said = rest.until(lambda: _no_metricd(rest), 30)
        assert not said, said


def _nobody_listens(node: SmokeNode) -> str:
    told = node.check("rabbitmqctl -q list_queues name consumers", timeout=90)
    queues = [
        line.rsplit(None, 1) for line in told.splitlines() if line.startswith("notifications.")
    ]
    heard = any(consumers != "0" for _, consumers in queues)
    return "" if heard else "no queue notifications.* of the message bus has a consumer"


def _no_metricd(rest: Rest) -> str:
    told = rest.get(METRIC, "/v1/status")
    # Null: it cannot know, for its processes do not meet one another (a database as coordinator).
    none = told.get("metricd", {}).get("processors") == []
    return "gnocchi has no metricd that makes measures of what comes" if none else ""


@both_stores
@pytest.mark.deadline(700)
def test_sample(rest: Rest, image: Image, to: str) -> None:
    """The size of an image is measured, in bytes, for its project; what was never made is not."""
    store = open_store(rest, to)
    samples = image.wait_for_size(store)
    volumes = {one.volume for one in samples}
    assert volumes == {image.size}, (
        f"{_SIZE} of an image of {image.size} bytes should be that, in {store.name} it is {volumes}"
    )
    owner = rest.get("image", image.path)["owner"]
    came = (samples[0].unit, samples[0].project)
    assert came == ("B", owner), f"unit and project should be {('B', owner)}, they are {came}"
    nobodys = store.samples(str(uuid.uuid4()), _SIZE)
    assert not nobodys, f"an image that was never made has samples: {nobodys}"


@both_stores
@pytest.mark.deadline(700)
def test_download(rest: Rest, image: Image, to: str) -> None:
    """Before an image is downloaded no download is measured; afterwards its bytes are."""
    store = open_store(rest, to)
    if not image.notifies:
        not_run("glance sends no notifications ([oslo_messaging_notifications] driver)")
    if not image.fetched:
        image.wait_for_size(store)
        early = store.samples(image.id, _DOWNLOAD)
        assert not early, f"nobody has downloaded the image, there is {_DOWNLOAD}: {early}"
        image.fetch()
    samples = image.wait_for(store, _DOWNLOAD)
    volumes = {one.volume for one in samples}
    assert volumes == {image.size}, (
        f"{image.size} bytes were downloaded once, {_DOWNLOAD} in {store.name} is {volumes}"
    )


@pytest.mark.deadline(900)
def test_polled(rest: Rest, image: Image) -> None:
    """The central agent polls: the size of an image is measured again, though nothing happens."""
    store = open_store(rest, FILE)
    seconds = image.polled()
    before = len(image.wait_for_size(store))
    image.wait_for(
        store, _SIZE, before + 1, seconds, "the central agent does not poll the size of images"
    )


@pytest.mark.deadline(400)
def test_access(rest: Rest, image: Image, undo: Undo) -> None:
    """Gnocchi lets nobody in without a token of keystone's, and shows a user its own only."""
    store = open_store(rest, GNOCCHI)
    for who, words in (("nobody", "without a token"), ("liar", "with a made-up token")):
        came = rest.status(who, METRIC, "/v1/resource/generic")
        assert came == "401", f"{words} gnocchi should give 401, it gave {came}"
    image.wait_for_size(store)
    path = Gnocchi.path(image.id)
    rest.get(METRIC, path)
    user = Rest(make_user(rest.cloud, undo), f"/run/{new_name()}")
    undo(f"rm -rf {user.folder}")
    user.install()
    came = str(user.call("GET", METRIC, path).status)
    assert came in ("403", "404"), (
        f"a user of another project asks for what was measured: should be 403 or 404, came {came}"
    )
    listed = [one["id"] for one in user.get(METRIC, "/v1/resource/generic")]
    assert not listed, f"a user of a new project is shown {len(listed)} resources of others"


@both_stores
@pytest.mark.deadline(700)
def test_deleted(rest: Rest, image: Image, to: str) -> None:
    """When an image is deleted the store hears of it."""
    store = open_store(rest, to, ends=True)
    if not image.notifies:
        not_run("glance sends no notifications ([oslo_messaging_notifications] driver)")
    image.wait_for_size(store)
    answer = rest.call("DELETE", "image", image.path)
    assert answer.status in (204, 404), f"the image cannot be deleted: {answer.said}"

    def look() -> str:
        return "" if store.ended(image.id) else "not yet"

    said = rest.until(look, HEARD)
    assert not said, (
        f"the image was deleted {HEARD * rest.cloud.node.timeout_scale:.0f} s ago, "
        f"{store.name} has not heard of it"
    )
