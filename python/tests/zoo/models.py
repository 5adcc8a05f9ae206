"""One model for every kind of thing that a backup must bring back."""

import uuid

import django
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import storages
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


def private_storage():
    return storages["private"]


def memory_storage():
    return storages["memory"]


class Kitchen(models.Model):
    """Every built-in field type, nullable."""

    big = models.BigIntegerField(null=True)
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=200, null=True)
    date = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    duration = models.DurationField(null=True)
    email = models.EmailField(null=True)
    file = models.FileField(null=True, max_length=200)
    file_path = models.FilePathField(null=True)
    float = models.FloatField(null=True)
    ip = models.GenericIPAddressField(null=True)
    image = models.ImageField(null=True)
    integer = models.IntegerField(null=True)
    json = models.JSONField(null=True)
    json_full = models.JSONField(default=dict)
    json_encoded = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    positive_big = models.PositiveBigIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    positive_small = models.PositiveSmallIntegerField(null=True)
    slug = models.SlugField(null=True, allow_unicode=True)
    small = models.SmallIntegerField(null=True)
    text = models.TextField(null=True)
    time = models.TimeField(null=True)
    url = models.URLField(null=True)
    uuid = models.UUIDField(null=True)
    stamped = models.DateTimeField(auto_now=True, null=True)


class UUIDKey(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=20)


class TextKey(models.Model):
    code = models.CharField(primary_key=True, max_length=40)


class PointsToText(models.Model):
    to = models.ForeignKey(TextKey, models.CASCADE)
    by_name = models.ForeignKey(
        "UniqueName", models.CASCADE, to_field="name", null=True, db_constraint=True
    )


class UniqueName(models.Model):
    name = models.CharField(max_length=40, unique=True)


class Node(models.Model):
    parent = models.ForeignKey("self", models.CASCADE, null=True)


class Chicken(models.Model):
    egg = models.ForeignKey("Egg", models.CASCADE, null=True)


class Egg(models.Model):
    chicken = models.OneToOneField(Chicken, models.CASCADE, null=True)


class Tag(models.Model):
    name = models.CharField(max_length=40, unique=True)


class Article(models.Model):
    tags = models.ManyToManyField(Tag, related_name="articles")
    related = models.ManyToManyField("self")
    authors = models.ManyToManyField(UUIDKey, through="Authorship")


class Authorship(models.Model):
    article = models.ForeignKey(Article, models.CASCADE)
    author = models.ForeignKey(UUIDKey, models.CASCADE)
    share = models.DecimalField(max_digits=5, decimal_places=2)

    class Meta:
        unique_together = [("article", "author")]


class Note(models.Model):
    """A generic relation."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()


class Place(models.Model):
    name = models.CharField(max_length=40)


class Restaurant(Place):
    stars = models.IntegerField()


class Pizzeria(Restaurant):
    ovens = models.IntegerField()


class PlaceProxy(Place):
    class Meta:
        proxy = True


class Unmanaged(models.Model):
    class Meta:
        managed = False


class Visible(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(hidden=False)


class SoftDeleted(models.Model):
    hidden = models.BooleanField(default=False)
    objects = Visible()

    class Meta:
        base_manager_name = "objects"


class Upload(models.Model):
    file = models.FileField(upload_to="up", blank=True, max_length=300)
    private = models.FileField(storage=private_storage, blank=True)
    memory = models.FileField(storage=memory_storage, blank=True)
    path = models.CharField(max_length=500, blank=True)
    token = models.CharField(max_length=20, default="fresh")


class Watched(models.Model):
    """Rows of this model have a signal receiver in some tests."""

    name = models.CharField(max_length=20)
    kept = models.CharField(max_length=20, default="default")


class Profile(models.Model):
    """A one-to-one primary key."""

    place = models.OneToOneField(Place, models.CASCADE, primary_key=True)
    text = models.TextField()


class Colour(str):
    """What `ColourField` makes of its column."""


class ColourField(models.CharField):
    """A field of a project, with its own Python type and its own way to a string."""

    def from_db_value(self, value, expression, connection):
        return None if value is None else Colour(value)

    def to_python(self, value):
        return value if value is None or isinstance(value, Colour) else Colour(value)

    def value_to_string(self, obj):
        return "colour:" + self.value_from_object(obj)

    def get_prep_value(self, value):
        return None if value is None else str(value).removeprefix("colour:")


class Painted(models.Model):
    colour = ColourField(max_length=40, null=True)


if django.VERSION >= (5, 0):

    class Computed(models.Model):
        side = models.IntegerField()
        area = models.GeneratedField(
            expression=models.F("side") * models.F("side"),
            output_field=models.BigIntegerField(),
            db_persist=True,
        )
        level = models.IntegerField(db_default=7)


if django.VERSION >= (5, 2):

    class Composite(models.Model):
        pk = models.CompositePrimaryKey("tenant", "number")
        tenant = models.IntegerField()
        number = models.UUIDField(default=uuid.uuid4)
        text = models.TextField(null=True)
