"""Knows the usual file extensions of media types, the same on every machine (contract A66)."""

from functools import lru_cache
from mimetypes import MimeTypes

_OFFICE = "application/vnd.openxmlformats-officedocument."

# What the standard library does not know, or knows otherwise than people do.
_USUAL = {
    f"{_OFFICE}wordprocessingml.document": (".docx",),
    f"{_OFFICE}wordprocessingml.template": (".dotx",),
    f"{_OFFICE}spreadsheetml.sheet": (".xlsx",),
    f"{_OFFICE}spreadsheetml.template": (".xltx",),
    f"{_OFFICE}presentationml.presentation": (".pptx",),
    f"{_OFFICE}presentationml.slideshow": (".ppsx",),
    "application/vnd.ms-word.document.macroenabled.12": (".docm",),
    "application/vnd.ms-excel.sheet.macroenabled.12": (".xlsm",),
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": (".xlsb",),
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": (".pptm",),
    "application/msword": (".doc",),
    "application/vnd.ms-excel": (".xls",),
    "application/vnd.ms-powerpoint": (".ppt",),
    "application/vnd.ms-outlook": (".msg",),
    "application/vnd.oasis.opendocument.text": (".odt",),
    "application/vnd.oasis.opendocument.spreadsheet": (".ods",),
    "application/vnd.oasis.opendocument.presentation": (".odp",),
    "application/rtf": (".rtf",),
    "text/rtf": (".rtf",),
    "application/zip": (".zip",),
    "application/x-zip-compressed": (".zip",),
    "application/x-7z-compressed": (".7z",),
    "application/x-rar": (".rar",),
    "application/x-rar-compressed": (".rar",),
    "application/vnd.rar": (".rar",),
    "application/gzip": (".gz",),
    "application/x-gzip": (".gz",),
    "application/x-bzip2": (".bz2",),
    "application/x-xz": (".xz",),
    "application/zstd": (".zst",),
    "application/vnd.ms-cab-compressed": (".cab",),
    "application/x-iso9660-image": (".iso",),
    "application/x-raw-disk-image": (".img",),
    "application/x-vhd": (".vhd", ".vhdx"),
    "application/x-vmdk": (".vmdk",),
    "application/x-apple-diskimage": (".dmg",),
    "application/x-ms-wim": (".wim",),
    "application/vnd.ms-htmlhelp": (".chm",),
    "application/x-dosexec": (".exe",),
    "application/x-msdownload": (".exe",),
    "application/vnd.microsoft.portable-executable": (".exe",),
    "application/x-msi": (".msi",),
    "application/x-ms-shortcut": (".lnk",),
    "application/java-archive": (".jar",),
    "application/vnd.android.package-archive": (".apk",),
    "application/javascript": (".js",),
    "text/javascript": (".js",),
    "application/hta": (".hta",),
    "text/x-shellscript": (".sh",),
    "text/x-msdos-batch": (".bat",),
    "application/onenote": (".one",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/tiff": (".tif", ".tiff"),
    "text/html": (".html", ".htm"),
    "text/calendar": (".ics",),
    "message/rfc822": (".eml",),
}

_KNOWN = MimeTypes()


@lru_cache(maxsize=1024)
def extensions(media_type: str) -> tuple[str, ...]:
    """Return the usual extensions of a media type, with their dots; none where it has no usual one."""
    if media_type in _USUAL:
        return _USUAL[media_type]
    # "octet-stream" says nothing; the library's ".bin" for it would be one more lie.
    if media_type == "application/octet-stream":
        return ()
    guess = _KNOWN.guess_extension(media_type, strict=False)
    return (guess,) if guess else ()
