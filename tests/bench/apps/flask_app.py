# SPDX-License-Identifier: MIT
import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return "Hello from Flask"


@app.get("/mark")
def mark():
    """What tests/bench/instructions sees go by."""
    os.getpriority(os.PRIO_PROCESS, 0)
    return ""
