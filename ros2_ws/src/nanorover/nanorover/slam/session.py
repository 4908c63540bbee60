"""One robot's SLAM: a map and what is done with it. The map outlives a change of what is done."""

from pathlib import Path
from typing import Literal, get_args

from nanorover.errors import InputError
from nanorover.mapping.map_files import load_map
from nanorover.params import refuse_unknown
from nanorover.slam.graph_file import load_graph
from nanorover.slam.lifelong import Lifelong
from nanorover.slam.localizer import DOUBTED_PART, Localizer
from nanorover.slam.mapper import Mapper
from nanorover.slam.params import SlamParams

Mode = Literal["mapping", "localization", "lifelong"]
MODES: tuple[Mode, ...] = get_args(Mode)
PICTURE_SUFFIXES = (".yaml", ".yml", ".pgm", ".png")


class Session:
    """``estimator`` takes odometry and scans and says where the robot is, ``mode`` what it does with the map.

    Raises InputError where a mode cannot be; then everything stays as it was.
    """

    def __init__(self, params: SlamParams, mode: str, path: Path | None = None) -> None:
        self.params = params
        self.mode: str = ""
        self.open(mode, path)

    def open(self, mode: str, path: Path | None) -> None:
        """Begin anew: with no map, a map_server map (yaml; only to localize in) or a graph file.

        Where in a given map the robot stands is found first, also to map on. Raises InputError for an
        unknown mode, a file that cannot be read, and a mode that it does not serve.
        """
        refuse_unknown([mode], MODES, "unknown mode of slam")
        mapper: Mapper | None = None
        estimator: Mapper | Localizer | Lifelong
        if path is None:
            if mode == "localization":
                raise InputError("localization needs a map", "name a map's yaml or a graph file")
            mapper = Mapper(self.params)
            estimator = mapper if mode == "mapping" else Lifelong(mapper, place_known=True)
        elif path.suffix in PICTURE_SUFFIXES:
            if mode != "localization":
                raise InputError(
                    f"{path} is a picture of a map, {mode} needs its graph",
                    "give the file that `nanorover map save NAME --graph` wrote, or use mode localization",
                )
            estimator = Localizer(
                self.params, load_map(path if path.suffix in (".yaml", ".yml") else path.with_suffix(".yaml"))
            )
        else:
            mapper = Mapper(self.params, *load_graph(path))
            estimator = self._using(mapper, mode, place_known=False)
        self.mode, self.mapper, self.estimator = mode, mapper, estimator

    def switch(self, mode: str) -> None:
        """Do something else with the same map, from the same place. Raises InputError where they forbid it."""
        refuse_unknown([mode], MODES, "unknown mode of slam")
        if self.mapper is None:
            raise InputError(
                f"this map is a picture, {mode} needs its graph",
                "open the file that `nanorover map save NAME --graph` wrote",
            )
        known, T_map_base = self.place_known(), self.estimator.T_map_base()
        if mode == "mapping" and not known:
            raise InputError(
                "the place in the map is not known yet", "wait until it is, say it by initialpose, or use lifelong"
            )
        estimator = self._using(self.mapper, mode, place_known=known)
        if known and len(self.mapper.graph) > 0:
            estimator.set_pose(T_map_base)
        self.mode, self.estimator = mode, estimator

    def _using(self, mapper: Mapper, mode: str, place_known: bool) -> Mapper | Localizer | Lifelong:
        if mode == "mapping":
            return mapper if place_known else Lifelong(mapper, place_known, looks_again=False)
        if mode == "lifelong":
            return Lifelong(mapper, place_known)
        mapper.finish()
        return Localizer(self.params, mapper.grid())

    def place_known(self) -> bool:
        """Whether the estimator knows where in the map the robot is."""
        localizer = self._localizer()
        return localizer is None or localizer.localized

    def confidence(self) -> float:
        """How sure the place in the map is, 0 to 1; who makes the map is sure while scans fit it."""
        localizer = self._localizer()
        if localizer is not None:
            return localizer.confidence
        unplaced = 0 if self.mapper is None else self.mapper.front_end.unplaced
        return DOUBTED_PART**unplaced

    def _localizer(self) -> Localizer | None:
        if isinstance(self.estimator, Lifelong):
            return self.estimator.localizer
        return self.estimator if isinstance(self.estimator, Localizer) else None

    def forget_pose(self) -> None:
        """Look for the robot in the whole map again. Raises InputError while mapping, and for a map too large."""
        if isinstance(self.estimator, Mapper):
            raise InputError("mapping knows the place by itself", "switch to localization or lifelong first")
        self.estimator.forget_pose()

    def save_graph(self, path: Path) -> None:
        """Write the graph to a file that ``open`` reads. Raises InputError where there is none."""
        if self.mapper is None:
            raise InputError(
                "this map came as a picture and has no graph", "leave out --graph: `nanorover map save`"
            )
        self.mapper.save(path)
