"""The pages for superusers, with Django's test client (a real browser: test_browser.py)."""

from __future__ import annotations

import logging
import os
import re
import sys

import django
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import got_request_exception
from django.test import Client
from django.views.debug import ExceptionReporter

from dbs import create_backup, restore_backup, validate_backup
from dbs.contrib import views
from tests.zoo.models import Tag, Upload

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

SECRET = "a passphrase that must appear nowhere"


@pytest.fixture
def root(client):
    user = User.objects.create_superuser("root", password="pw")
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def uploads(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"dbs-uploads-{os.getuid()}"


def test_only_superusers(client):
    for url in ("/dbs/backup/", "/dbs/restore/"):
        response = client.get(url)
        assert response.status_code == 302 and "/admin/login/" in response["Location"]
    staff = User.objects.create_user("staff", password="pw", is_staff=True)
    client.force_login(staff)
    for url in ("/dbs/backup/", "/dbs/restore/"):
        response = client.get(url)
        assert response.status_code == 403 and b"staff is not a superuser" in response.content
        assert client.post(url, {"passphrase": "x", "again": "x"}).status_code == 403


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has no CSP before 6.0")
def test_a_content_security_policy_lets_the_style_in(root, settings):
    from django.utils.csp import CSP

    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csp.ContentSecurityPolicyMiddleware"]
    settings.SECURE_CSP = {"default-src": [CSP.SELF], "style-src": [CSP.NONCE]}
    templates = [{**settings.TEMPLATES[0]}]
    options = templates[0]["OPTIONS"] = {**templates[0]["OPTIONS"]}
    options["context_processors"] = [
        *options["context_processors"], "django.template.context_processors.csp"
    ]
    settings.TEMPLATES = templates
    response = root.get("/dbs/backup/")
    nonce = re.search(r'<style nonce="([^"]+)">', response.content.decode())[1]
    assert f"'nonce-{nonce}'" in response["Content-Security-Policy"]


def test_csrf():
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root", password="pw"))
    for url in ("/dbs/backup/", "/dbs/restore/"):
        assert client.post(url, {"passphrase": "x", "again": "x"}).status_code == 403


def test_download(root, caplog):
    Tag.objects.create(id=1, name="t")
    assert root.get("/dbs/backup/").status_code == 200
    with caplog.at_level(logging.DEBUG):
        response = root.post("/dbs/backup/", {"passphrase": SECRET, "again": SECRET})
    assert response.status_code == 200 and response.streaming
    assert re.search(r'filename="backup-\d+T\d+Z-[0-9a-f]{6}\.dbs"', response["Content-Disposition"])
    blob = b"".join(response.streaming_content)
    assert int(response["Content-Length"]) == len(blob)
    assert validate_backup(blob, SECRET).clean
    assert SECRET not in caplog.text
    response = root.post("/dbs/backup/", {"passphrase": SECRET, "again": "other"})
    assert response.status_code == 400 and b"differ" in response.content
    assert SECRET.encode() not in response.content


def test_missing_files_are_told(root):
    Upload.objects.create(file="gone.txt")
    data = {"passphrase": SECRET, "again": SECRET}
    response = root.post("/dbs/backup/", data)
    assert response.status_code == 400 and b"gone.txt" in response.content
    response = root.post("/dbs/backup/", {**data, "allow_missing_files": "on"})
    assert response.status_code == 200 and response.streaming
    b"".join(response.streaming_content)


def upload(client, blob, passphrase=SECRET, **data):
    return client.post(
        "/dbs/restore/",
        {"file": SimpleUploadedFile("b.dbs", blob), "passphrase": passphrase, **data},
    )


def test_upload_dry_run_restore(root, uploads, caplog):
    Tag.objects.create(id=1, name="t")
    blob = create_backup(SECRET, kdf=(1, 64, 1))
    Tag.objects.all().delete()
    with caplog.at_level(logging.DEBUG):
        response = upload(root, blob)
        assert response.status_code == 200 and b"What the restore would do" in response.content
        assert not Tag.objects.exists()
        token = re.search(r'name="token" value="([0-9a-f]+)"', response.content.decode())[1]
        assert [n.endswith(f"-{token}.dbs") for n in os.listdir(uploads)] == [True]
        confirm = {"token": token, "passphrase": SECRET, "confirmation": "yes"}
        response = root.post("/dbs/restore/", confirm)
        assert response.status_code == 400 and not Tag.objects.exists()
        response = root.post("/dbs/restore/", {**confirm, "confirmation": "restore",
                                               "passphrase": "wrong"})
        assert response.status_code == 400 and b"passphrase is wrong" in response.content
        response = root.post("/dbs/restore/", {**confirm, "confirmation": "restore"})
    assert response.status_code == 200 and b"Restored" in response.content
    assert Tag.objects.get().name == "t"
    assert os.listdir(uploads) == []
    assert SECRET not in caplog.text
    assert SECRET not in str(dict(root.session))
    response = root.post("/dbs/restore/", {**confirm, "confirmation": "restore"})
    assert response.status_code == 400 and b"Upload it again" in response.content


def test_tokens_are_of_one_user(root, client, uploads):
    blob = create_backup(SECRET, kdf=(1, 64, 1))
    token = re.search(r'name="token" value="([0-9a-f]+)"', upload(root, blob).content.decode())[1]
    other = Client()
    other.force_login(User.objects.create_superuser("other", password="pw"))
    confirm = {"token": token, "passphrase": SECRET, "confirmation": "restore"}
    assert b"Upload it again" in other.post("/dbs/restore/", confirm).content
    confirm["token"] = "../../etc/passwd"
    assert other.post("/dbs/restore/", confirm).status_code == 400


def test_bad_uploads(root, uploads, settings):
    Tag.objects.create(id=1, name="t")
    blob = bytearray(create_backup(SECRET, kdf=(1, 64, 1)))
    response = upload(root, bytes(blob), "wrong")
    assert response.status_code == 400 and b"passphrase is wrong" in response.content
    assert upload(root, b"not a backup").status_code == 400
    assert upload(root, b"").status_code == 400
    damaged = bytes(600) + bytes(blob[600:])
    response = upload(root, damaged)
    assert response.status_code == 200 and b"The backup is damaged" in response.content
    lost = bytes(blob[:512]) + bytes(len(blob) - 1024) + bytes(blob[-512:])
    response = upload(root, lost)
    assert response.status_code == 400 and b"damaged beyond repair" in response.content
    settings.DBS_MAX_UPLOAD_BYTES = 10
    response = upload(root, bytes(blob))
    assert response.status_code == 400 and b"DBS_MAX_UPLOAD_BYTES" in response.content
    assert len(os.listdir(uploads)) == 1


def test_what_was_chosen_is_said_again(root):
    """A typing error in the confirmation must not make a replacement look like a merge."""
    response = upload(root, create_backup(SECRET, kdf=(1, 64, 1)), flush="on")
    page = response.content.decode()
    assert "are deleted first" in page and "b.dbs" in page and "made on" in page
    token = re.search(r'name="token" value="([0-9a-f]+)"', page)[1]
    confirm = {"token": token, "passphrase": SECRET, "flush": "True"}
    for wrong in ({"confirmation": "restroe"}, {"confirmation": "restore", "passphrase": "wrong"}):
        page = root.post("/dbs/restore/", {**confirm, **wrong}).content.decode()
        assert "are deleted first" in page and "merged" not in page
        assert 'name="flush" value="True"' in page


def error_report(request=None):
    """Django's report of the current error: all variables of every frame. It is sent to ADMINS."""
    reporter = ExceptionReporter(request, *sys.exc_info())
    return reporter.get_traceback_html() + reporter.get_traceback_text()


@pytest.fixture
def reports():
    """Those of the requests of a test."""
    found = []

    def take(request, **kwargs):
        found.append(error_report(request))

    got_request_exception.connect(take)
    yield found
    got_request_exception.disconnect(take)


def assert_no_secret(reports, count):
    assert len(reports) == count
    for text in reports:
        assert "ZeroDivisionError" in text
        assert SECRET not in text


def test_error_reports_of_the_pages_hold_no_passphrase(root, monkeypatch, reports):
    root.raise_request_exception = False
    blob = create_backup(SECRET, kdf=(1, 64, 1))
    token = re.search(r'name="token" value="([0-9a-f]+)"', upload(root, blob).content.decode())[1]
    monkeypatch.setattr("dbs.container.size_of", broken)
    monkeypatch.setattr("dbs.restore.tar_events", broken)
    assert root.post("/dbs/backup/", {"passphrase": SECRET, "again": SECRET}).status_code == 500
    assert upload(root, blob).status_code == 500
    confirm = {"token": token, "passphrase": SECRET, "confirmation": "restore"}
    assert root.post("/dbs/restore/", confirm).status_code == 500
    assert_no_secret(reports, 3)


def test_error_reports_of_a_project_hold_no_passphrase(monkeypatch):
    reports = []
    blob = create_backup(SECRET, kdf=(1, 64, 1))
    monkeypatch.setattr("dbs.container.size_of", broken)
    monkeypatch.setattr("dbs.restore.tar_events", broken)
    monkeypatch.setattr("dbs.container.open_archive", broken)
    for call in (
        lambda: create_backup(SECRET),
        lambda: restore_backup(blob, SECRET),
        lambda: validate_backup(blob, passphrase=SECRET),
    ):
        try:
            call()
        except ZeroDivisionError:
            reports.append(error_report())
    assert_no_secret(reports, 3)


def broken(*args, **kwargs):
    return 1 / 0


def test_old_uploads_go(root, uploads, monkeypatch):
    blob = create_backup(SECRET, kdf=(1, 64, 1))
    upload(root, blob)
    (name,) = os.listdir(uploads)
    os.utime(uploads / name, (1, 1))
    upload(root, blob)
    assert name not in os.listdir(uploads) and len(os.listdir(uploads)) == 1
    assert views.WAIT <= 3600
