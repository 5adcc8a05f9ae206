"""Pages for superusers: ``path("dbs/", include("dbs.contrib.urls"))``."""

from django.urls import path

from . import views

app_name = "dbs"

urlpatterns = [
    path("backup/", views.backup, name="backup"),
    path("restore/", views.restore, name="restore"),
]
