"""The admin pages in a real browser: headless Chromium."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from django.contrib.auth.models import User

from dbs import create_backup, validate_backup
from tests.zoo.models import Tag

webdriver = pytest.importorskip("selenium.webdriver")
DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default"]),
    pytest.mark.skipif(
        not (DRIVER and BROWSER), reason="Chromium is not installed (chromium, chromium-driver)"
    ),
]

SECRET = "correct horse"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     "--window-size=900,900", "--no-proxy-server",
                     "--disable-background-networking", "--disable-component-update"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, live_server):
    return Page(browser, live_server.url)


class Page:
    def __init__(self, browser, base):
        self.browser = browser
        self.base = base

    def open(self, path):
        self.browser.get(self.base + path)
        return self

    def field(self, name):
        return self.browser.find_element("name", name)

    def fill(self, **values):
        for name, value in values.items():
            self.field(name).send_keys(value)
        return self

    def submit(self):
        old = self.browser.find_element("tag name", "html")
        self.browser.find_element(
            "css selector", "form button[type=submit], form input[type=submit]"
        ).click()
        return old

    def submit_and_wait(self):
        old = self.submit()
        for _ in range(600):
            try:
                old.is_enabled()
            except Exception:  # noqa: BLE001  Stale: the next page is there.
                return self
            time.sleep(0.1)
        raise AssertionError("the page did not change")

    @property
    def text(self):
        return self.browser.find_element("tag name", "body").text

    def shot(self, name):
        folder = os.environ.get("DBS_SCREENSHOTS")
        for scheme in ("light", "dark") if folder else ():
            self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
                "features": [{"name": "prefers-color-scheme", "value": scheme}]})
            self.browser.save_screenshot(os.path.join(folder, f"{name}-{scheme}.png"))

    def log_in(self, name, path):
        self.browser.delete_all_cookies()
        self.open(path)
        if self.browser.find_elements("name", "username"):
            self.fill(username=name, password="pw").submit_and_wait()
        return self


@pytest.fixture
def users():
    User.objects.create_superuser("root", password="pw")
    User.objects.create_user("plain", password="pw", is_staff=True)


def test_a_plain_user_sees_nothing(page, users):
    page.log_in("plain", "/dbs/backup/")
    assert "Backups are for superusers" in page.text
    assert not page.browser.find_elements("tag name", "form")
    page.shot("plain-user")
    page.open("/dbs/restore/")
    assert "Backups are for superusers" in page.text


def wait_for_download(folder):
    for _ in range(600):
        names = [n for n in os.listdir(folder) if n.endswith(".dbs")]
        if names:
            return os.path.join(folder, names[0])
        time.sleep(0.1)
    raise AssertionError(os.listdir(folder))


def test_download_upload_restore(page, users, downloads):
    Tag.objects.create(id=1, name="from the backup")
    page.log_in("root", "/dbs/backup/")
    assert "Download a backup" in page.text
    page.shot("backup")
    page.fill(passphrase=SECRET, again="another").submit_and_wait()
    assert "The two differ" in page.text
    page.shot("differ")
    assert page.field("passphrase").get_attribute("value") == ""
    page.fill(passphrase=SECRET, again=SECRET).submit()
    path = wait_for_download(downloads)
    assert validate_backup(path, SECRET).clean
    Tag.objects.all().delete()
    Tag.objects.create(id=2, name="newer")

    page.open("/dbs/restore/")
    page.shot("restore")
    page.fill(file=path, passphrase="wrong").submit_and_wait()
    assert "The passphrase is wrong" in page.text
    page.shot("wrong-passphrase")
    page.fill(file=path, passphrase=SECRET).submit_and_wait()
    assert "What the restore would do" in page.text and "zoo.tag" in page.text
    page.shot("dry-run")
    assert not Tag.objects.filter(id=1).exists()
    page.fill(passphrase=SECRET, confirmation="no").submit_and_wait()
    assert "Type “restore”" in page.text
    page.shot("not-confirmed")
    assert not Tag.objects.filter(id=1).exists()
    page.field("confirmation").clear()
    page.fill(passphrase=SECRET, confirmation="restore").submit_and_wait()
    assert "Restored" in page.text
    page.shot("restored")
    assert dict(Tag.objects.values_list("id", "name")) == {1: "from the backup", 2: "newer"}


def test_damaged_files(page, users, tmp_path):
    Tag.objects.create(id=1, name="t")
    blob = create_backup(SECRET, kdf=(1, 64, 1))
    (tmp_path / "damaged.dbs").write_bytes(bytes(600) + blob[600:])
    (tmp_path / "lost.dbs").write_bytes(blob[:512] + bytes(len(blob) - 1024) + blob[-512:])
    page.log_in("root", "/dbs/restore/")
    page.fill(file=str(tmp_path / "damaged.dbs"), passphrase=SECRET).submit_and_wait()
    assert "The backup is damaged" in page.text
    page.shot("damaged")
    page.open("/dbs/restore/")
    page.fill(file=str(tmp_path / "lost.dbs"), passphrase=SECRET).submit_and_wait()
    assert "damaged beyond repair" in page.text
    page.shot("lost")
