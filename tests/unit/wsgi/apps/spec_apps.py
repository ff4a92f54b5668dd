# SPDX-License-Identifier: MIT
"""Applications to be found in several ways; each answers with what it is."""


def _answering(text):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]
    return app


def create(*args, **kwargs):
    return _answering(f"create {args} {dict(sorted(kwargs.items()))}")


def create_one(argument):
    return _answering("one")


def none():
    return None


def failing():
    return {}["missing"]


class Class:
    create = staticmethod(create)

    def __call__(self, environ, start_response):
        return _answering("object")(environ, start_response)


application = _answering("application")
callable_object = Class()
number = 5
