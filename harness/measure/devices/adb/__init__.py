"""Phones over ADB: how they are reached, and nothing about what is measured on them."""
