"""Passwords in tests: Django's own algorithm with one iteration, because its million take a third of a second."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    iterations = 1
