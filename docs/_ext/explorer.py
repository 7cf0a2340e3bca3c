"""The data of the loss explorer, for Sphinx and as a page of its own: ``python docs/_ext/explorer.py OUT``.

Every loss of elements is offered, and every loss of classes whose target may be class ids. What it computes comes from
its kernel (`recorder`), what its parameters may be from its domains; nobody lists losses here.
"""

import argparse
import inspect
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import recorder

import polyloss
from polyloss.core.arguments import IGNORED
from polyloss.core.domains import REAL, Classes, Domain
from polyloss.display.curves import line_of

HERE = Path(__file__).parent
STATIC = HERE.parent / "_static" / "explorer"
SCRIPTS = ("data.js", "interpreter.js", "model.js", "explorer.js")
"""In the order in which they are needed. The first one is made here."""
ANY = "any"
"""What the page calls the form of a parameter that is any number."""
ELEMENT: recorder.Shape = (recorder.EXAMPLES,)
ROW: recorder.Shape = (recorder.EXAMPLES, recorder.CLASSES)


def offered() -> dict[str, Any]:
    """The losses that have a picture: those of elements, and those of classes of which one is right."""
    losses = {name: getattr(polyloss, name) for name in vars(polyloss)["__all__"]}
    return {
        name: loss
        for name, loss in losses.items()
        if isinstance(loss, polyloss.Loss)
        and loss.fuse is None
        and (not loss.row or (loss.row == ("c",) and isinstance(loss.domains.get(loss.arrays[-1]), Classes)))
    }


def link(name: str) -> str:
    """The address of an offered loss in the explorer, from its page: along the line that its curves are drawn along."""
    loss = offered()[name]
    line = line_of(loss)
    middle = (line.low + line.high) / 2
    still = [] if loss.row else zip(loss.arrays[1:], line.at(middle)[1:], strict=True)
    words = ",".join([name, *(f"{other}={array[0]:g}" for other, array in still)])
    return f"../docs/explorer.html#loss={words}&from={line.low:g}&to={line.high:g}&at={middle:g}"


def numbers_of(loss: Any) -> list[str]:
    """The parameters that have a slider: all but the class id that stands for no class."""
    return [name for name in loss.parameters if name != IGNORED]


def forms_of(loss: Any, name: str) -> list[Any]:
    """The ways in which a kernel treats a parameter: values that it branches on, and any other number."""
    domain: Domain = loss.domains.get(name, REAL)
    if name in loss.static:
        if domain.ends_only:
            return [int(domain.low), int(domain.high)]
        return list(domain.choices or (False, True))
    return [*([None] if name in loss.optional else []), *domain.special, recorder.NUMBER]


def graphs_of(loss: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the loss computes, for each way in which its parameters can be treated, by the places of these forms."""
    first, *others = loss.arrays
    arrays: dict[str, Any] = {first: (ROW if loss.row else ELEMENT, recorder.FLOAT)}
    arrays |= dict.fromkeys(others, (ELEMENT, recorder.INT if loss.row else recorder.FLOAT))
    names = numbers_of(loss)
    for chosen in itertools.product(*(enumerate(forms_of(loss, name)) for name in names)):
        parameters = {name: form for name, (_, form) in zip(names, chosen, strict=True)}
        yield ",".join(str(place) for place, _ in chosen), recorder.record(loss.kernel, arrays, parameters)


def _described(domain: Domain) -> dict[str, Any]:
    """What a page needs of a domain."""
    return {
        "low": domain.low,
        "high": domain.high,
        "open": [domain.open_low, domain.open_high],
        "ends": domain.ends_only,
        "unless": domain.unless,
        "instead": _described(domain.instead or REAL) if domain.unless else None,
        "text": "" if domain.everything else str(domain),
    }


def described(loss: Any) -> dict[str, Any]:
    """A loss, as the page has it."""
    domains = {name: loss.domains.get(name, REAL) for name in (*loss.arrays, *loss.parameters)}
    summary = inspect.cleandoc(loss.kernel.__doc__ or "").partition("\n")[0].replace("`", "")
    return {
        "summary": summary,
        "rows": bool(loss.row),
        "arrays": [{"name": name, **_described(domains[name])} for name in loss.arrays],
        "parameters": [
            {
                "name": name,
                "default": loss.defaults[name],
                "optional": name in loss.optional,
                "forms": [ANY if form is recorder.NUMBER else form for form in forms_of(loss, name)],
                **_described(domains[name]),
            }
            for name in numbers_of(loss)
        ],
        "graphs": dict(graphs_of(loss)),
    }


def builtins() -> dict[str, Any]:
    """What the built-ins gave that differ: ``explorer_builtins.py`` asks them."""
    found: dict[str, Any] = json.loads((STATIC / "builtins.json").read_text(encoding="utf-8"))
    return found


def data() -> str:
    """The script that hands the data to the page: a file may load a script, but read no other file."""
    losses = {name: described(loss) for name, loss in offered().items()}
    found = {"version": polyloss.__version__, "losses": losses, "builtins": builtins()}
    return f"const explorerData = {json.dumps(found, separators=(',', ':'))};\n"


# -------------------------------------------------------------------------------------------------------- in the site


def _written(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / "explorer" / "data.js").write_text(data(), encoding="utf-8")


def _of_page(app: Any, page: str, template: str, context: Mapping[str, Any], doctree: Any) -> None:
    if page.rpartition("/")[2] == "explorer":
        app.add_css_file("explorer/explorer.css")
        for script in SCRIPTS:
            app.add_js_file(f"explorer/{script}", loading_method="defer")


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls."""
    app.connect("html-page-context", _of_page)
    app.connect("build-finished", _written)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# ----------------------------------------------------------------------------------------------------- without Sphinx

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Loss explorer</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="explorer.css">
{scripts}
</head>
<body class="explorer-alone">
<main>
<section id="loss-explorer">
<h1>Loss explorer</h1>
{place}
</section>
</main>
</body>
</html>
"""


def write_page(folder: Path) -> Path:
    """The explorer as a page of its own, with all that it needs beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(STATIC, folder, dirs_exist_ok=True)
    (folder / "data.js").write_text(data(), encoding="utf-8")
    text = (HERE.parent / "explorer.md").read_text(encoding="utf-8")
    place = text[text.index("<div") : text.index("</div>") + len("</div>")]
    scripts = "\n".join(f'<script defer src="{script}"></script>' for script in SCRIPTS)
    page = folder / "index.html"
    page.write_text(PAGE.format(scripts=scripts, place=place), encoding="utf-8")
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the loss explorer as a page of its own.")
    parser.add_argument("out", type=Path, help="the folder to write it to")
    print(write_page(parser.parse_args().out))
