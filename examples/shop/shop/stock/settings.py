"""The shop with a second database, in which Kasparro's tables are."""

from shop.settings import *  # noqa: F403

INSTALLED_APPS += ["shop.stock"]  # noqa: F405
DATABASES["analytics"] = {**DATABASES["default"], "NAME": os.getenv("SHOP_DB_ANALYTICS", "")}  # noqa: F405
ETL_DATABASE = "analytics"  # kasparro
DATABASE_ROUTERS = ["etl.database.Router", "shop.stock.routing.Analytics"]  # kasparro: the first
ETL_SOURCES = ["shop.suppliers.AcmeProducts", "shop.stock.sources.AcmeArticles"]
