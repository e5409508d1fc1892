"Clean stored outputs for the page: figures that scale and speak to screen readers, tables that scroll in their own box."

import html
import re

from bs4 import BeautifulSoup

NUMBER = re.compile(r"^[\s−+-]*[$€£]?\d[\d,.\s]*(?:[eE][+-]?\d+)?\s*(?:%|bp|s|x)?$|^(?:nan|NaN|inf|-inf|—|-)$")
UNBROKEN = re.compile(r"\d{4}-\d{2}(?:-\d{2})?|\d[\d,]* [x×] \d[\d,]*")  # a date, a shape: never parted over two lines
SVG_NOISE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.S)


def clean_svg(
    text: str,  # an SVG picture, as matplotlib stores it
    ident: str,  # the figure's id: it goes on the picture and before every id inside
    alt: str,  # what the picture shows, in words
) -> str:
    "Make an inline SVG: no prolog, ids of its own, scaling with the column, named for screen readers."
    text = SVG_NOISE.sub("", text).strip()
    text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, flags=re.S)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{ident}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{ident}-\1)", text)
    text = re.sub(r'((?:xlink:)?href)="#([^"]+)"', rf'\1="#{ident}-\2"', text)
    head = re.match(r"<svg\b[^>]*>", text)
    if head is None:
        return text
    attrs = dict(re.findall(r'([\w:-]+)="([^"]*)"', head[0]))
    width = re.match(r"([\d.]+)(pt|px|)", attrs.get("width", ""))
    style = "stroke-linejoin:round;stroke-linecap:butt"
    if width:
        style = f"width:{float(width[1]) * (96 / 72 if width[2] == 'pt' else 1):.0f}px;" + style
    keep = {k: v for k, v in attrs.items() if k in ("viewBox", "xmlns", "xmlns:xlink", "preserveAspectRatio")}
    keep |= {"class": "figure-svg", "role": "img", "aria-label": html.escape(alt), "style": style}
    keep |= {"id": ident} if ident else {}
    written = " ".join(f'{k}="{v}"' for k, v in keep.items())
    return f"<svg {written}>" + text[head.end() :]


def clean_table(
    text: str,  # HTML with tables in it, as pandas writes it
    caption: str = "",  # the caption, as HTML, when the table has one
    ident: str = "",  # the table's id
) -> str:
    "Drop pandas' noise, mark the numbers, and put each table in a box that scrolls; with a caption it becomes a figure."
    soup = BeautifulSoup(text, "html.parser")
    for style in soup.find_all("style"):
        style.decompose()
    for number, table in enumerate(soup.find_all("table")):
        for attr in ("border", "style"):
            del table[attr]
        table["class"] = list(dict.fromkeys([*table.get("class", []), "data-table"]))
        for row in table.find_all("tr"):
            del row["style"]
        join_header(table)
        align_numbers(table)
        label = {"role": "region", "tabindex": "0", "aria-label": BeautifulSoup(caption, "html.parser").get_text() or "Table"}
        box = table.wrap(soup.new_tag("div", attrs={"class": "table-scroll", **label}))
        if caption and number == 0:
            figure = box.wrap(soup.new_tag("figure", attrs={"class": "table-figure", **({"id": ident} if ident else {})}))
            figure.insert(0, BeautifulSoup(f"<figcaption>{caption}</figcaption>", "html.parser"))
    return re.sub(r">([^<>]+)(?=</t[dh]>)", lambda m: ">" + UNBROKEN.sub(r'<span class="unbroken">\g<0></span>', m[1]), str(soup))


def join_header(
    table: object,  # a table of the soup
) -> None:
    "Lift the index's names, which pandas puts into a row of their own, into the empty corner of the header."
    rows = table.select("thead > tr")
    if len(rows) != 2:
        return
    top, names = (r.find_all("th", recursive=False) for r in rows)
    filled = [k for k, th in enumerate(names) if th.get_text(strip=True)]
    if len(top) == len(names) and filled and filled == list(range(len(filled))) and not any(top[k].get_text(strip=True) for k in filled):
        for k in filled:
            top[k].replace_with(names[k])
        rows[1].decompose()


def align_numbers(
    table: object,  # a table of the soup
) -> None:
    "Give the class `num` to the columns that hold numbers, headings included."
    rows = table.select("tbody tr")
    if not rows or table.find(attrs={"rowspan": True}):
        for td in table.select("tbody td"):
            if NUMBER.match(td.get_text(strip=True) or "x"):
                td["class"] = [*td.get("class", []), "num"]
        return
    width = max(len(r.find_all(["td", "th"])) for r in rows)
    columns = [[cells[k] for r in rows if len(cells := r.find_all(["td", "th"])) > k] for k in range(width)]
    numeric = {k for k, col in enumerate(columns) if all(NUMBER.match(c.get_text(strip=True) or "-") for c in col) and col[0].name == "td"}
    for row in table.find_all("tr"):
        for k, item in enumerate(row.find_all(["td", "th"])):
            if k in numeric and not item.get("colspan"):
                item["class"] = [*item.get("class", []), "num"]
