"""Makes the webhook engine of a config: settings and secret files are read here, connections are made in `start()`."""

from __future__ import annotations

from pathlib import Path

from signal_contract.creds import read_secret
from signal_contract.errors import CredsInvalid, EngineUnusable
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Engine
from subscriber_agent.engines.webhook.address import Address, address_from
from subscriber_agent.engines.webhook.assuming import AssumingEngine
from subscriber_agent.engines.webhook.engine import WebhookEngine
from subscriber_agent.engines.webhook.receiver import Receiver, library_checked
from subscriber_agent.engines.webhook.sent import SENT_FILE, SentLog
from subscriber_agent.engines.webhook.settings import CATALYST, WebhookSettings
from subscriber_agent.engines.webhook.signing import MIN_SECRET_CHARS
from subscriber_agent.engines.webhook.template import TRADERSPOST, Template, template_from


def make(settings: WebhookSettings, context: EngineContext) -> Engine:
    """The engine that the template asks for. Raises EngineUnusable for settings that can never work."""
    address = _address(settings, context)
    secret = _secret(settings, context)
    if settings.template != CATALYST:
        template = template_from(settings.template, context.home)
        if settings.assumed_cash_usd is None:
            raise EngineUnusable(
                f"engine.webhook: the template {settings.template} needs assumed_cash_usd",
                hint="Its receiver tells no balance: write the USD in the account before this engine's first order.",
            )
    elif secret is None:
        raise EngineUnusable(
            "engine.webhook.secret_file is missing: unsigned orders are not posted",
            hint="Write a secret of 16 characters or more into a file of mode 0600 and name it there.",
        )
    library_checked()
    receiver = Receiver(address, timeout_s=settings.timeout_s)
    if settings.template == CATALYST and secret is not None:
        return WebhookEngine(receiver, secret, context, is_paper=settings.is_paper)
    return _assuming(settings, context, receiver, template, secret)


def _assuming(
    settings: WebhookSettings, context: EngineContext, receiver: Receiver, template: Template, secret: bytes | None
) -> AssumingEngine:
    cash = settings.assumed_cash_usd
    if cash is None:
        raise EngineUnusable("engine.webhook.assumed_cash_usd is missing")
    log = SentLog(context.data / SENT_FILE)
    return AssumingEngine(receiver, template, log, context, cash, secret=secret, is_paper=settings.is_paper)


def _address(settings: WebhookSettings, context: EngineContext) -> Address:
    if bool(settings.url) == bool(settings.url_file):
        raise EngineUnusable(
            "engine.webhook needs an address: url, or url_file where it carries a token, and not both",
        )
    if settings.url_file is None:
        if settings.template == TRADERSPOST:
            raise EngineUnusable(
                "engine.webhook: TradersPost's address carries its password, so it may not stand in the config",
                hint="Put the address into a file of mode 0600 and name that in engine.webhook.url_file.",
            )
        return address_from(settings.url, is_secret=False)
    return address_from(_read(context.path(settings.url_file), "the webhook's address").strip(), is_secret=True)


def _secret(settings: WebhookSettings, context: EngineContext) -> bytes | None:
    if settings.secret_file is None:
        return None
    secret = _read(context.path(settings.secret_file), "the webhook's secret").strip()
    if len(secret) < MIN_SECRET_CHARS:
        raise EngineUnusable(
            f"engine.webhook.secret_file holds fewer than {MIN_SECRET_CHARS} characters",
            hint="Make one with: openssl rand -hex 32",
        )
    return secret.encode("utf-8")


def _read(path: Path, what: str) -> str:
    try:
        return read_secret(path, what=what)
    except CredsInvalid as error:
        hint = error.hint if "chmod" in error.hint else f"Check {path}; it must be yours and of mode 0600."
        raise EngineUnusable(error.message, hint=hint) from error
