"""The peer: a plain FastAPI and async SQLAlchemy service over the same table, as in their tutorials.

It has a pool and a response model, but none of the features that would cost it time: no token, throttle, metrics,
log line per request or count.
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import BigInteger, DateTime, Numeric, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

POOL = 8  # one session per client of the benchmark

engine = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=POOL, max_overflow=0)
make_session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    pass


class UnifiedRecord(Base):
    __tablename__ = "unified_records"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    source: Mapped[str]
    external_id: Mapped[str]
    name: Mapped[str]
    category: Mapped[str | None]
    value: Mapped[Decimal | None] = mapped_column(Numeric(38, 18))
    currency: Mapped[str | None]
    event_timestamp: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ingested_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    sequence: Mapped[int] = mapped_column(BigInteger)
    raw_id: Mapped[int] = mapped_column(BigInteger)


class Record(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    source: str
    external_id: str
    name: str
    category: str | None
    value: Decimal | None
    currency: str | None
    event_timestamp: datetime | None
    ingested_at: datetime
    updated_at: datetime
    sequence: int
    raw_id: int


class Page(BaseModel):
    data: list[Record]


async def open_session() -> AsyncIterator[AsyncSession]:
    async with make_session() as session:
        yield session


@app.get("/data", response_model=Page)
async def list_records(
    session: Annotated[AsyncSession, Depends(open_session)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
    source: str | None = None,
) -> dict[str, Any]:
    """Return a page in the same order as Kasparro: by id, or by external_id for one source."""
    query = select(UnifiedRecord)
    if source is not None:
        query = query.where(UnifiedRecord.source == source).order_by(UnifiedRecord.external_id)
    else:
        query = query.order_by(UnifiedRecord.id)
    rows = await session.scalars(query.limit(limit).offset(offset))
    return {"data": rows.all()}
