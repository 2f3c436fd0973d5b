"""Renders WGSL from the templates under `shaders/`.

Shaders have four kinds of parameters. Structure (dtype, format, fusion, unrolling) is rendered into the text, here.
Sizes and tunables are `override` constants, set when the pipeline is created. Values that differ between dispatches are
in `params`. Values that differ between steps are in the `step` buffer (see ControlBuffer).

The declarations of bindings, params and constants are generated from the KernelSource, so that plan and WGSL agree.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2

from gemtab.backends.webgpu import tiles

Structure = tuple[tuple[str, str | int | bool], ...]
"""The variables of a template, as (name, value)."""


@dataclass(frozen=True)
class Binding:
    """One storage binding: name in the shader, access (read or read_write) and WGSL type."""

    name: str
    access: str
    type: str


@dataclass(frozen=True)
class KernelSource:
    """A kernel before its forms are rendered.

    template: path under shaders/ without `.wgsl.jinja`. params: fields of the uniform buffer, as (name, WGSL
    type). constants: values of `override` constants; integers are u32, others f32.
    """

    template: str
    structure: Structure
    bindings: tuple[Binding, ...]
    params: tuple[tuple[str, str], ...] = ()
    constants: tuple[tuple[str, int | float], ...] = ()
    reduces: bool = field(default=False)
    """Whether the kernel reduces over a workgroup, and so has a form with subgroups."""

    @property
    def name(self) -> str:
        """The names of template and structure, joined by dots, e.g. `matmul-decode.q4.glu.rows4`."""
        parts = [self.template.rsplit("/", 1)[-1]]
        for key, value in self.structure:
            if value is True:
                parts.append(key)
            elif value is not False:
                parts.append(value if isinstance(value, str) else f"{key}{value}")
        return ".".join(parts)

    def render(self, subgroups: bool = False) -> str:
        """Return the WGSL text, without `enable` lines: the device adds these."""
        template = _environment().get_template(f"{self.template}.wgsl.jinja")
        return template.render(**dict(self.structure), subgroups=subgroups, declarations=self._declarations())

    def _declarations(self) -> str:
        lines = [f"override {name}: {'u32' if isinstance(value, int) else 'f32'};" for name, value in self.constants]
        lines += [
            f"@group(0) @binding({i}) var<storage, {b.access}> {b.name}: {b.type};" for i, b in enumerate(self.bindings)
        ]
        if self.params:
            fields = " ".join(f"{name}: {kind}," for name, kind in self.params)
            lines.append(f"struct Params {{ {fields} }}")
            lines.append(f"@group(0) @binding({len(self.bindings)}) var<uniform> params: Params;")
        return "\n".join(lines) + "\n"


def shader_root() -> Path:
    """Return the folder of templates: that of the installed package, or the repository's `shaders/`."""
    packaged = Path(str(files("gemtab") / "shaders"))
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[4] / "shaders"


@cache
def _environment() -> jinja2.Environment:
    """Return the environment of all templates. The constants of `tiles` are its globals."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(shader_root()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update({name: value for name, value in vars(tiles).items() if name.isupper()})
    return environment
