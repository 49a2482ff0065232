"""The formats of lines, by the names that labels and the configuration use."""

from typing import Final, Literal, get_args

Format = Literal["auto", "json", "logfmt", "access", "klog", "pattern", "plain"]
# other names for them, as people know their formats by
FORMATS: Final[dict[str, Format]] = {
    **{form: form for form in get_args(Format)},
    "common": "access", "combined": "access", "apache": "access", "nginx": "access", "glog": "klog",
    "log4j": "pattern", "logback": "pattern", "python": "pattern", "text": "plain",
}  # fmt: skip
