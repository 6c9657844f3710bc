"""Texts for people: templates in their language, which a deployment can replace by files of its own."""

import gettext
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateError,
    select_autoescape,
)

from gatepost.events import log
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import Language
from gatepost.settings import Notices, SettingsError

CATALOGUES = Path(__file__).parents[1] / "locale"
DOMAIN = "gatepost"


class BadTemplate(ValueError):
    """A template can't be read; the text names it."""


class Wording:
    """The templates of mails and pages. Those in `folder` go before our own of the same name; "" is no folder."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder

    def check(self) -> None:
        """Read every template that a deployment may have replaced; raise BadTemplate for one that can't be read.

        A folder that is not there raises it too. Without a folder there are only our own, which the tests read.
        """
        if not self._folder:
            return
        if not Path(self._folder).is_dir():
            raise BadTemplate(f"{self._folder} is no folder")
        environment = _environment(self._folder, Language.EN)
        for name in environment.list_templates():
            try:
                environment.get_template(name)
            except (TemplateError, UnicodeDecodeError) as error:
                raise BadTemplate(f"{name}: {error}") from error

    def render(self, template: str, language: str, /, **values: Any) -> str:
        """Return a template's text in a language; .html ones escape what is put in.

        Raises UNAVAILABLE for a template of the deployment that asks for what there is not.
        """
        try:
            return _environment(self._folder, language).get_template(template).render(values)
        except TemplateError as error:
            log.error("template not usable", template=template, error=repr(error))
            raise Problem(Kind.UNAVAILABLE, "A text can't be written; the log says why.") from error

    def moment(self, millis: int, language: str, zone: str) -> str:
        """Return a point in time (epoch milliseconds) as people of a language write it, in a time zone (IANA)."""
        moment = datetime.fromtimestamp(millis // 1000, UTC)
        return format_datetime(moment, "long", tzinfo=ZoneInfo(zone), locale=language.lower())


@cache
def _environment(folder: str, language: str) -> Environment:
    """Return what reads the templates of a folder in a language: one for the whole process, as reading takes long."""
    own = [FileSystemLoader(folder)] if folder else []
    made = Environment(
        loader=ChoiceLoader([*own, PackageLoader("gatepost")]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = gettext.translation(DOMAIN, str(CATALOGUES), [language.lower()], fallback=True)
    made.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]  # put there by the extension
    made.globals["language"] = language.lower()
    return made


def make_wording(settings: Notices) -> Wording:
    """Return the texts as they are set up; raise SettingsError for a template that can't be read."""
    wording = Wording(settings.templates)
    try:
        wording.check()
    except BadTemplate as error:
        raise SettingsError(f"notices.templates: {error}") from error
    return wording
