"""PostgreSQL's own field types."""

from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, IntegerRangeField
from django.db import models


class PgKitchen(models.Model):
    numbers = ArrayField(models.IntegerField(), null=True)
    moments = ArrayField(models.DateTimeField(), null=True)
    texts = ArrayField(ArrayField(models.CharField(max_length=20)), null=True)
    span = IntegerRangeField(null=True)
    period = DateTimeRangeField(null=True)
