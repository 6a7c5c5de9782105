"""Runs Django's commands, traced as the page has it: migrations send comments too."""

import os
import sys

import support  # noqa: F401  (an SDK)
from django.core.management import execute_from_command_line
from tracing import trace_project

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
trace_project()
execute_from_command_line(sys.argv)
