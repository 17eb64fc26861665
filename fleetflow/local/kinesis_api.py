"""The AWS JSON 1.1 protocol of Kinesis over the stand-in's backend, as a WSGI application."""

from __future__ import annotations

import sys
import traceback
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from fleetflow.local import kinesis_shapes as shapes
from fleetflow.local.kinesis_backend import Entry, Kinesis
from fleetflow.local.kinesis_errors import (
    InvalidArgumentError,
    KinesisError,
    ThroughputExceededError,
    UnknownOperationError,
    ValidationError,
)
from fleetflow.local.kinesis_shapes import Params
from fleetflow.local.kinesis_stream import Stream, arrival, sequence_number

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TARGET = "Kinesis_20131202."
ACCOUNT = "123456789012"
_CONTENT_TYPE = "application/x-amz-json-1.1"
_MAX_SHARDS_PAGE = 1000
_put_one = msgspec.json.Decoder(shapes.PutOne)
_put_many = msgspec.json.Decoder(shapes.PutMany)
_encode = msgspec.json.Encoder().encode


class KinesisApi:
    """Answers Kinesis requests; one instance serves all threads."""

    def __init__(self, kinesis: Kinesis, region: str) -> None:
        """Serve this backend under the ARNs of a region."""
        self._kinesis = kinesis
        self._region = region
        self._operations: dict[str, Callable[[bytes], object]] = {
            "PutRecord": self._put_record,
            "PutRecords": self._put_records,
            **{name: self._plain(call) for name, call in self._plain_operations().items()},
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        operation = environ["HTTP_X_AMZ_TARGET"].removeprefix(TARGET)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, answer = self._answer(operation, body)
        headers = [("Content-Type", _CONTENT_TYPE), ("Content-Length", str(len(answer)))]
        start_response(status, [*headers, ("x-amzn-RequestId", str(uuid.uuid4()))])
        return [answer]

    def _answer(self, operation: str, body: bytes) -> tuple[str, bytes]:
        try:
            call = self._operations.get(operation)
            if call is None:
                raise UnknownOperationError(f"{operation} is not in the stand-in")
            result = call(body)
            return "200 OK", b"" if result is None else _encode(result)
        except msgspec.DecodeError as error:
            return "400 Bad Request", _encode({"__type": "SerializationException", "message": str(error)})
        except KinesisError as error:
            status = "400 Bad Request" if error.status == 400 else "500 Internal Server Error"
            return status, _encode({"__type": error.code, "message": str(error)})
        except (
            Exception
        ):  # the boundary of the server: a defect answers 500 and leaves its traceback in the log
            traceback.print_exc(file=sys.stderr)
            return "500 Internal Server Error", _encode(
                {"__type": "InternalFailure", "message": "see the log"}
            )

    # -- records

    def _put_record(self, body: bytes) -> object:
        request = _put_one.decode(body)
        entry = (request.PartitionKey, request.Data, request.ExplicitHashKey)
        name = shapes.stream_name(request.StreamName, request.StreamARN)
        placed = self._kinesis.put(name, [entry])[0]
        if placed.number is None:
            raise ThroughputExceededError(shapes.refusal(placed, name))
        return shapes.placement(placed, name)

    def _put_records(self, body: bytes) -> object:
        request = _put_many.decode(body)
        entries: list[Entry] = [(r.PartitionKey, r.Data, r.ExplicitHashKey) for r in request.Records]
        name = shapes.stream_name(request.StreamName, request.StreamARN)
        placed = self._kinesis.put(name, entries)
        failed = sum(one.number is None for one in placed)
        return {"FailedRecordCount": failed, "Records": [shapes.placement(one, name) for one in placed]}

    def _get_records(self, params: Params) -> object:
        page = self._kinesis.read(shapes.text(params, "ShardIterator"), params.get("Limit"))
        index = page.shard.index
        records = [
            shapes.Got(arrival(r.number), r.data, r.key, sequence_number(r.number, index))
            for r in page.records
        ]
        answer: Params = {"Records": records, "MillisBehindLatest": page.behind_ms}
        if page.next_iterator is not None:
            answer["NextShardIterator"] = page.next_iterator
        else:
            answer["ChildShards"] = [shapes.child(child) for child in page.children]
        return answer

    def _get_shard_iterator(self, params: Params) -> object:
        iterator = self._kinesis.iterator(
            self._name(params),
            shapes.text(params, "ShardId"),
            shapes.text(params, "ShardIteratorType"),
            params.get("StartingSequenceNumber"),
            params.get("Timestamp"),
        )
        return {"ShardIterator": iterator}

    # -- streams

    def _create_stream(self, params: Params) -> None:
        self._kinesis.create(shapes.text(params, "StreamName"), int(params.get("ShardCount") or 4))

    def _delete_stream(self, params: Params) -> None:
        self._kinesis.delete(self._name(params))

    def _list_streams(self, params: Params) -> object:
        names = [
            n for n in sorted(self._kinesis.streams) if n > (params.get("ExclusiveStartStreamName") or "")
        ]
        page = names[: params.get("Limit") or 100]
        summaries = [self._identity(self._kinesis.stream(name)) for name in page]
        return {"StreamNames": page, "StreamSummaries": summaries, "HasMoreStreams": len(page) < len(names)}

    def _describe_stream(self, params: Params) -> object:
        stream = self._stream(params)
        shards = shapes.after(list(stream.shards.values()), params.get("ExclusiveStartShardId"))
        page = shards[: params.get("Limit") or 100]
        description = {
            **self._identity(stream),
            "RetentionPeriodHours": stream.retention_h,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
            "Shards": [shapes.describe(shard) for shard in page],
            "HasMoreShards": len(page) < len(shards),
        }
        return {"StreamDescription": description}

    def _describe_stream_summary(self, params: Params) -> object:
        stream = self._stream(params)
        summary = {
            **self._identity(stream),
            "RetentionPeriodHours": stream.retention_h,
            "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
            "EncryptionType": "NONE",
            "OpenShardCount": len(stream.open_shards()),
            "ConsumerCount": 0,
        }
        return {"StreamDescriptionSummary": summary}

    def _describe_limits(self, params: Params) -> object:
        shards = sum(len(stream.open_shards()) for stream in self._kinesis.streams.values())
        limits = {"ShardLimit": 6000, "OnDemandStreamCount": 0, "OnDemandStreamCountLimit": 50}
        return {**limits, "OpenShardCount": shards}

    def _set_retention(self, params: Params) -> None:
        hours = int(params.get("RetentionPeriodHours") or 0)
        if not 24 <= hours <= 8760:
            raise InvalidArgumentError(f"RetentionPeriodHours {hours} is not between 24 and 8760")
        stream = self._stream(params)
        with stream.lock:
            stream.retention_h = hours
            stream.save()

    def _add_tags(self, params: Params) -> None:
        self._save_tags(params, {**self._stream(params).tags, **(params.get("Tags") or {})})

    def _remove_tags(self, params: Params) -> None:
        gone = params.get("TagKeys") or []
        self._save_tags(params, {k: v for k, v in self._stream(params).tags.items() if k not in gone})

    def _save_tags(self, params: Params, tags: dict[str, str]) -> None:
        stream = self._stream(params)
        with stream.lock:
            stream.tags = tags
            stream.save()

    def _list_tags(self, params: Params) -> object:
        tags = sorted(self._stream(params).tags.items())
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags], "HasMoreTags": False}

    # -- shards

    def _list_shards(self, params: Params) -> object:
        token = params.get("NextToken")
        if token:
            params = {"MaxResults": params.get("MaxResults"), **shapes.unpack_token(token)}
        stream = self._stream(params)
        shards = shapes.after(
            shapes.filtered(stream, params.get("ShardFilter") or {}), params.get("ExclusiveStartShardId")
        )
        page = shards[: params.get("MaxResults") or _MAX_SHARDS_PAGE]
        answer: Params = {"Shards": [shapes.describe(shard) for shard in page]}
        if len(page) < len(shards):
            rest = {"StreamName": stream.name, "ShardFilter": params.get("ShardFilter")}
            answer["NextToken"] = shapes.pack_token({**rest, "ExclusiveStartShardId": page[-1].name})
        return answer

    def _split_shard(self, params: Params) -> None:
        at = shapes.text(params, "NewStartingHashKey")
        if not at.isdecimal():
            raise ValidationError(f"NewStartingHashKey {at!r} is not a decimal number")
        self._stream(params).split(shapes.text(params, "ShardToSplit"), int(at))

    def _merge_shards(self, params: Params) -> None:
        self._stream(params).merge(
            shapes.text(params, "ShardToMerge"), shapes.text(params, "AdjacentShardToMerge")
        )

    def _update_shard_count(self, params: Params) -> object:
        stream = self._stream(params)
        before, target = len(stream.open_shards()), int(params.get("TargetShardCount") or 0)
        stream.scale(target)
        counts = {"CurrentShardCount": before, "TargetShardCount": target}
        return {"StreamName": stream.name, "StreamARN": self._arn(stream), **counts}

    # -- what they share

    def _plain_operations(self) -> dict[str, Callable[[Params], object]]:
        return {
            "AddTagsToStream": self._add_tags,
            "CreateStream": self._create_stream,
            "DecreaseStreamRetentionPeriod": self._set_retention,
            "DeleteStream": self._delete_stream,
            "DescribeLimits": self._describe_limits,
            "DescribeStream": self._describe_stream,
            "DescribeStreamSummary": self._describe_stream_summary,
            "GetRecords": self._get_records,
            "GetShardIterator": self._get_shard_iterator,
            "IncreaseStreamRetentionPeriod": self._set_retention,
            "ListShards": self._list_shards,
            "ListStreams": self._list_streams,
            "ListTagsForStream": self._list_tags,
            "MergeShards": self._merge_shards,
            "RemoveTagsFromStream": self._remove_tags,
            "SplitShard": self._split_shard,
            "UpdateShardCount": self._update_shard_count,
        }

    def _plain(self, call: Callable[[Params], object]) -> Callable[[bytes], object]:
        return lambda body: call(msgspec.json.decode(body or b"{}", type=dict[str, Any]))

    def _name(self, params: Params) -> str:
        return shapes.stream_name(params.get("StreamName"), params.get("StreamARN"))

    def _stream(self, params: Params) -> Stream:
        return self._kinesis.stream(self._name(params))

    def _arn(self, stream: Stream) -> str:
        return f"arn:aws:kinesis:{self._region}:{ACCOUNT}:stream/{stream.name}"

    def _identity(self, stream: Stream) -> Params:
        return {
            "StreamName": stream.name,
            "StreamARN": self._arn(stream),
            "StreamStatus": "ACTIVE",
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "StreamCreationTimestamp": stream.created_at,
        }
