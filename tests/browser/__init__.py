"""A package, so that its tests share one browser and one worker, which end with it."""
