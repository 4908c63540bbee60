"""The course of a training as a picture."""

from pathlib import Path

from nanorover.files import replacing


def draw_curves(log: list[dict[str, float]], path: Path) -> None:
    """Losses, precision and learning rate over the epochs, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.4), layout="constrained", sharex=True)
    panels = (("loss", ("score", "box", "teacher")), ("precision", ("AP", "AP50")), ("learning rate", ("rate",)))
    for axis, (title, names) in zip(axes, panels, strict=True):
        for name in names:
            points = [(row["epoch"], row[name]) for row in log if name in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 40 else "")
        axis.set(title=title, xlabel="epoch")
        axis.set_ylim(0, 1 if title == "precision" else None)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
        if axis.lines and len(names) > 1:
            axis.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90)
    pyplot.close(figure)
