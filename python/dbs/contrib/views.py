"""Backup and restore in the browser, for superusers.

The passphrase is used while a request is answered and goes nowhere else. Between the dry run and
the restore, the uploaded file (which is encrypted) waits in a private temporary directory, for an
hour at most; the passphrase is asked for again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from .. import conf
from ..backup import timestamped_name, write_backup
from ..exceptions import Damaged, Error, WrongPassphrase
from ..restore import restore_backup

log = logging.getLogger("dbs")

WORD = "restore"
WAIT = 3600
#: What goes wrong without a mistake in the code.
EXPECTED = (Error, OSError, DatabaseError)


def answer(
    request: HttpRequest, template: str, status: int = 200, **context: Any
) -> HttpResponse:
    """One of the pages."""
    context["username"] = request.user.get_username()
    return render(request, f"dbs/{template}.html", context, status=status)


def superusers_only(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    @functools.wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            try:
                login = reverse("admin:login")
            except NoReverseMatch:
                login = None
            return redirect_to_login(request.get_full_path(), login)
        if not (user.is_active and user.is_superuser):
            return answer(request, "forbidden", status=403)
        return view(request, *args, **kwargs)

    return wrapped


def page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """What both pages need: superusers, CSRF, no caches, no secrets in error reports."""
    for decorate in (
        sensitive_variables(),
        superusers_only,
        csrf_protect,
        sensitive_post_parameters("passphrase", "again"),
        never_cache,
        transaction.non_atomic_requests,
    ):
        view = decorate(view)
    return view


class Passphrase(forms.CharField):
    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__(
            label=label,
            strip=False,
            max_length=4096,
            widget=forms.PasswordInput(
                render_value=False, attrs={"autocomplete": "new-password", "spellcheck": "false"}
            ),
            **kwargs,
        )


class BackupForm(forms.Form):
    passphrase = Passphrase(
        "Passphrase",
        help_text="Stored nowhere. Keep it where the backup is not: without it nobody can read the "
        "backup, not even you.",
    )
    again = Passphrase("Passphrase, once more")
    allow_missing_files = forms.BooleanField(
        label="Leave out files that cannot be read, instead of stopping there", required=False
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("passphrase") and cleaned.get("passphrase") != cleaned.get("again"):
            self.add_error("again", "The two differ.")
        return cleaned


class UploadForm(forms.Form):
    file = forms.FileField(
        label="Backup",
        allow_empty_file=True,
        help_text="A .dbs file, also one of django-dbs 0.1.0 to 0.7.0, and also a damaged one.",
    )
    passphrase = Passphrase(
        "Passphrase", help_text="The one that the backup was made with. It is stored nowhere."
    )
    flush = forms.BooleanField(
        label="Replace all rows of the backup's tables, instead of merging", required=False
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        limit = conf.setting("DBS_MAX_UPLOAD_BYTES")
        if limit is not None and file.size > limit:
            raise forms.ValidationError(
                f"The file has {file.size:,} bytes; DBS_MAX_UPLOAD_BYTES allows {limit:,}."
            )
        return file


class ConfirmForm(forms.Form):
    token = forms.RegexField(r"\A[0-9a-f]{32}\Z", widget=forms.HiddenInput)
    flush = forms.BooleanField(required=False, widget=forms.HiddenInput)
    passphrase = Passphrase("Passphrase, once more")
    confirmation = forms.CharField(label=f"Type “{WORD}”", max_length=20)

    def clean_confirmation(self) -> str:
        if self.cleaned_data["confirmation"].strip() != WORD:
            raise forms.ValidationError(f"Type “{WORD}” to restore.")
        return WORD


def _message(error: BaseException) -> str:
    if isinstance(error, WrongPassphrase):
        return "The passphrase is wrong."
    if isinstance(error, Damaged):
        return (
            f"The backup is {error}. Nothing was changed. Use another copy of it; what is left of "
            "this one comes back on the server, with `manage.py dbs_restore --salvage`."
        )
    return str(error)


@page
def backup(request: HttpRequest) -> HttpResponseBase:
    form = BackupForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            # Without a name, and encrypted: complete and verified before the first byte is sent.
            file = tempfile.TemporaryFile(prefix="dbs-")
            try:
                report = write_backup(
                    file,
                    form.cleaned_data["passphrase"],
                    allow_missing_files=form.cleaned_data["allow_missing_files"],
                )
            except BaseException as error:
                file.close()
                if not isinstance(error, EXPECTED):
                    raise
                form.add_error(None, _message(error))
            else:
                log.info("%s downloads a backup (%s)", request.user, report.summary())
                file.seek(0)
                return FileResponse(
                    file,
                    as_attachment=True,
                    filename=timestamped_name(),
                    content_type="application/octet-stream",
                )
    return answer(request, "backup", status, form=form, active="backup")


@page
def restore(request: HttpRequest) -> HttpResponseBase:
    if request.method != "POST":
        return _upload(request, UploadForm(), 200)
    if "token" in request.POST:
        return _restore(request)
    return _rehearse(request)


def _upload(request: HttpRequest, form: UploadForm, status: int, problem: str = "") -> HttpResponse:
    return answer(request, "restore", status, form=form, problem=problem, active="restore")


def _rehearse(request: HttpRequest) -> HttpResponse:
    """The first step: a dry run of the uploaded file."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _upload(request, form, 400)
    upload, flush = form.cleaned_data["file"], form.cleaned_data["flush"]
    token = secrets.token_hex(16)
    try:
        path = _keep(request, token, upload)
        report = restore_backup(path, form.cleaned_data["passphrase"], flush=flush, dry_run=True)
    except BaseException as error:
        _forget(request, token)
        if not isinstance(error, EXPECTED):
            raise
        form.add_error(None, _message(error))
        return _upload(request, form, 400)
    confirm = ConfirmForm(initial={"token": token, "flush": flush})
    return answer(
        request, "confirm", form=confirm, report=report, flush=flush, name=upload.name,
        active="restore",
    )


def _restore(request: HttpRequest) -> HttpResponse:
    """The second step: the same file, for good."""
    form = ConfirmForm(request.POST)
    valid = form.is_valid()
    flush = form.cleaned_data.get("flush", False)
    if not valid:
        return answer(request, "confirm", 400, form=form, flush=flush, active="restore")
    token = form.cleaned_data["token"]
    path = _kept(request, token)
    if path is None:
        return _upload(request, UploadForm(), 400, "The uploaded file is gone. Upload it again.")
    try:
        report = restore_backup(path, form.cleaned_data["passphrase"], flush=flush)
    except EXPECTED as error:
        form.add_error(None, _message(error))
        return answer(request, "confirm", 400, form=form, flush=flush, active="restore")
    _forget(request, token)
    log.info("%s restored a backup (%s)", request.user, report.summary())
    return answer(request, "done", report=report, active="restore")


# Uploads that wait for their confirmation


def _directory() -> str:
    path = os.path.join(tempfile.gettempdir(), f"dbs-uploads-{os.getuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    status = os.lstat(path)
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or os.path.islink(path):
        raise PermissionError(f"{path} belongs to somebody else, or others can read it.")
    return path


def _name(request: HttpRequest, token: str) -> str:
    # Of one user only: another one's token names another file.
    return os.path.join(_directory(), f"{request.user.pk}-{token}.dbs")


def _keep(request: HttpRequest, token: str, upload: Any) -> str:
    directory = _directory()
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            if os.stat(path).st_mtime < time.time() - WAIT:
                os.unlink(path)
    path = _name(request, token)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        for chunk in upload.chunks(1 << 20):
            file.write(chunk)
    return path


def _kept(request: HttpRequest, token: str) -> str | None:
    path = _name(request, token)
    return path if os.path.isfile(path) else None


def _forget(request: HttpRequest, token: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(_name(request, token))
