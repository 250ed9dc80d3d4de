"""What strangers write to take a page over, and what in a page no template of ours has put there."""

PAYLOADS = [
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202eevil\u2066",
]  # fmt: skip
OURS = ("/console", "/docs", "#content", "https://explorer.solana.com/tx/", "solana:")


def foreign_parts(page):
    """What stands in a page that no template of ours has put there."""
    scripts = [a for a in page.all("script") if not a.get("src", "").startswith("/console/static/console-")]
    pictures = [a for a in page.all("img") if not a["src"].startswith("/console/")]
    handlers = [(tag, name) for tag, attributes in page.elements for name in attributes if name.startswith("on")]
    styles = [(tag, a) for tag, a in page.elements if tag == "style" or "style" in a]
    links = [a["href"] for a in page.all("a") if not a.get("href", "").startswith(OURS)]
    forms = [a for a in page.all("form") if not a["action"].startswith("/console")]
    frames = [tag for tag, _ in page.elements if tag in {"iframe", "object", "embed", "base"}]
    # One drawing without a handler, and one title, are the page's own.
    return [scripts, pictures, handlers, styles, links, forms, frames]
