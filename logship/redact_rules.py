"""What is taken for a secret: the built-in rules, and how an operator's own become one of them.

A rule is an RE2 pattern over bytes with one group, the secret itself. NUL parts records; no
built-in rule reaches across one, nor across the quotes of a JSON text.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from configfile.pattern import compile_pattern

_WORDS: Final = (
    rb"(?:[A-Za-z0-9_.\-]*(?i:passwd|password|passphrase|secret|api_?-?key|access_?-?key|account_?-?key|signing_?-?key"
    rb"|encryption_?-?key|private_?-?key|auth_?-?token|access_?-?token|refresh_?-?token|session_?-?token|bearer_?-?token|id_?-?token)"
    rb"|(?i:token|pwd))"
)
_BASE64: Final = rb"[A-Za-z0-9+/]"
_URL64: Final = rb"[A-Za-z0-9_\-]"

# rule -> pattern; the order is the order of preference at one place
RULES: Final[Mapping[str, bytes]] = {
    "private_key": rb"(-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:[^\-\x00\"]|-[^\-\x00\"])*(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----)?|AGE-SECRET-KEY-1[0-9A-Z]{58}|PuTTY-User-Key-File-\d[^\x00]*Private-MAC: [0-9a-f]+)",
    # clouds
    "aws_access_key": rb"\b((?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z0-9]{16})\b",
    "google_api_key": rb"\b(AIza" + _URL64 + rb"{35})",
    "google_oauth": rb"\b(ya29\." + _URL64 + rb"{20}" + _URL64 + rb"*|GOCSPX-" + _URL64 + rb"{28})",
    "azure_key": rb"(?:[?&]sig=)([A-Za-z0-9%+/=]{30}[A-Za-z0-9%+/=]*)",
    "digitalocean_token": rb"\b(do[oprt]_v1_[a-f0-9]{64})\b",
    "alibaba_key": rb"\b(LTAI[A-Za-z0-9]{16,20})\b",
    # where code and packages are
    "github_token": rb"\b(gh[pousr]_[A-Za-z0-9]{30}[A-Za-z0-9]*|github_pat_[A-Za-z0-9]{20}\w*)",
    "gitlab_token": rb"\b(gl(?:pat|ptt|dt|rt|cbt|agent|soat|ft|imt|oas)-" + _URL64 + rb"{20}" + _URL64 + rb"*)",
    "npm_token": rb"\b(npm_[A-Za-z0-9]{36})\b",
    "pypi_token": rb"\b(pypi-AgE" + _URL64 + rb"{50}" + _URL64 + rb"*)",
    "docker_token": rb"\b(dckr_(?:pat|oat)_" + _URL64 + rb"{27}" + _URL64 + rb"*)",
    # services
    "slack_token": rb"\b(xox[abeoprs]-[A-Za-z0-9\-]{10}[A-Za-z0-9\-]*|xapp-\d-[A-Z0-9]+-\d+-[a-f0-9]+)",
    "slack_webhook": rb"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9+/]{20}[A-Za-z0-9+/]*)",
    "discord_webhook": rb"discord(?:app)?\.com/api/webhooks/\d+/(" + _URL64 + rb"{60}" + _URL64 + rb"*)",
    "telegram_token": rb"\b(\d{8,10}:AA" + _URL64 + rb"{33})",
    "stripe_key": rb"\b((?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{16}[A-Za-z0-9]*)",
    "sendgrid_key": rb"\b(SG\." + _URL64 + rb"{20,24}\." + _URL64 + rb"{39,50})",
    "twilio_key": rb"\b(SK[a-f0-9]{32})\b",
    "mailgun_key": rb"\b(key-[a-f0-9]{32})\b",
    "square_token": rb"\b(sq0(?:atp|csp)-" + _URL64 + rb"{22,43})",
    "shopify_token": rb"\b(shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})\b",
    "openai_key": rb"\b(sk-(?:proj-|svcacct-|admin-)?" + _URL64 + rb"{20,74}T3BlbkFJ" + _URL64 + rb"{20,74}|sk-ant-[a-z0-9]{3,8}-" + _URL64 + rb"{40}" + _URL64 + rb"*)",
    "huggingface_token": rb"\b(hf_[A-Za-z0-9]{34})\b",
    "databricks_token": rb"\b(dapi[a-f0-9]{32})\b",
    "vault_token": rb"\b(hv[sbr]\." + _URL64 + rb"{24}" + _URL64 + rb"*)",
    "grafana_token": rb"\b(gl(?:sa|c)_[A-Za-z0-9+/=_]{32}[A-Za-z0-9+/=_]*)",
    "atlassian_token": rb"\b(ATATT3[A-Za-z0-9_\-=]{60}[A-Za-z0-9_\-=]*)",
    "linear_key": rb"\b(lin_api_[A-Za-z0-9]{40})\b",
    "newrelic_key": rb"\b(NRAK-[A-Z0-9]{27})\b",
    # what any program may have
    "jwt": rb"\b(eyJ[A-Za-z0-9_\-]{8}[A-Za-z0-9_\-]*\.eyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+)",
    "authorization": rb"(?i:authorization|\bbearer)\\?[\"']?[:= ][ \t]*\\?[\"']?(?:(?i:bearer|basic|token|digest|apikey)[ \t]+)?([A-Za-z0-9._~+/=\-]{8}[A-Za-z0-9._~+/=\-]*)",
    "cookie": rb"(?i:\b(?:set-)?cookie)\\?[\"']?:[ \t]*\\?[\"']?([A-Za-z0-9_.\-]+=[^\s;,\"'\\\x00]{8}[^\"'\\\x00\r\n]*)",
    "url_password": rb"\b[a-z][a-z0-9+.\-]+://[^\s:/@\x00\"]*:([^\s/@\x00\"\\]+)@",
    # "password": "..." in JSON, also JSON within JSON
    "json_secret": rb"\"" + _WORDS + rb"\\?\"[ \t]*:[ \t]*\\?\"([^\"\\\x00]+(?:\\[^\"\x00][^\"\\\x00]*|\\\"[^\"\\\x00,}\]:][^\"\\\x00]*)*)",
    "key_value": rb"\b" + _WORDS + rb"[=:][ \t]?[\"']?([^\s\"'&;,\\\x00\[{][^\s\"'&;,\\\x00]+)",
    "option": rb"(?:^|[ \t\x00\"'])--?(?:[a-z0-9]+-)*(?i:password|passwd|passphrase|secret|token|api-?key)[ \t]+[\"']?([^\s\"'&;,\\\x00\-\[{<][^\s\"'&;,\\\x00]{3}[^\s\"'&;,\\\x00]*)",
    "sql_password": rb"(?i:\bidentified (?:with \S+ )?by|\bpassword)[ \t]+'([^'\x00\\\"]+)'",
    "card_number": rb"\b((?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6(?:011|5\d{2}|4[4-9]\d))(?:[ \-]?\d{4}){3}|3[47]\d{2}[ \-]?\d{6}[ \-]?\d{5})\b",
}  # fmt: skip


def is_card(buf: bytes, start: int, end: int) -> bool:
    """Tell whether digits are a card's number: by Luhn's check sum (ISO/IEC 7812-1), and no part of a larger number."""
    around = buf[max(0, start - 1) : start] + buf[end : end + 1]
    if any(char in b".-_/%#+" for char in around):
        return False
    digits = [char - 48 for char in buf[start:end] if 48 <= char <= 57]
    doubled = [d * 2 - 9 * (d > 4) for d in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[::-2]) + sum(doubled)) % 10 == 0


# rules whose matches must pass a test besides
CHECKS: Final[Mapping[str, Callable[[bytes, int, int], bool]]] = {"card_number": is_card}


def own_rule(pattern: str) -> bytes:
    """Return an operator's pattern as a rule; without a group all of the match is the secret.

    Raises:
        ValueError: With a sentence that says what would be right.
    """
    compiled: Any = compile_pattern(pattern)
    if compiled.groups > 1:
        raise ValueError(
            f"has {compiled.groups} groups; one at most, which is the secret: write the others as (?:...)"
        )
    if compiled.search("") is not None:
        raise ValueError("matches the empty text, so it would match everywhere")
    raw = pattern.encode()
    return raw if compiled.groups else b"(" + raw + b")"
