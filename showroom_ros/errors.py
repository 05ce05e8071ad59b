"""The exceptions of this package.

Everything a caller can cause or cure is a ``ShowroomError``: nodes log and count it, the command line
prints it as one line. Anything else is a defect and is never swallowed.
"""


class ShowroomError(Exception):
    """Base of all errors whose message tells a user what was wrong and what was expected."""


class InputError(ShowroomError):
    """An array, image, pose, calibration or message that cannot be what it says it is."""


class SettingsError(ShowroomError):
    """An unknown setting, a wrong type or a value out of range."""


class BagError(ShowroomError):
    """A bag that is empty, truncated or lacks the wanted topics."""


class DatasetError(ShowroomError):
    """A folder that is not the data set it was taken for, or a broken file in it."""


class MapFileError(ShowroomError):
    """A saved map of another version, or one that was cut short."""


class OutputError(ShowroomError):
    """A file that may not or cannot be written."""


class TransformError(ShowroomError):
    """A transform that is missing, too old, or in another tree."""


class MissingDependencyError(ShowroomError):
    """An optional package is not installed; the message names the extra that brings it."""


class WeightsError(ShowroomError):
    """A checkpoint that cannot be used: broken, of another network or version, or not the one it should be."""
