"""The mathematics: one file for each family of losses."""
