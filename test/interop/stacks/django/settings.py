"""The settings of a small project."""

import os

SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["jobs"]
MIDDLEWARE = []
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"],
    "USER": os.environ["PGUSER"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}}
