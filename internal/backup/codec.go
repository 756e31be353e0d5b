package backup

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// snapshotMessage is how long a message with a part of a snapshot is at most, in bytes: etcd
// sends 32 KiB with a few words beside it.
const snapshotMessage = 33 << 10

// codec is gRPC's own, but for where it puts a message together: gRPC takes a buffer of 1 MiB
// for one that is longer than 32 KiB, and clears all of it, each time.
type codec struct {
	encoding.CodecV2
	pool mem.BufferPool
}

// cheaply has a client read snapshots with a codec, and have etcd send no more ahead of it
// than ahead: gRPC would let that grow to 16 MiB, for which etcd has no time for writes.
func cheaply() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{encoding.GetCodecV2(grpcproto.Name), mem.NewTieredBufferPool(1<<10, snapshotMessage)})),
		grpc.WithStaticStreamWindowSize(ahead), grpc.WithStaticConnWindowSize(4 * ahead),
	}
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, to any) error {
	message, ok := to.(proto.Message)
	if !ok || data.Len() > snapshotMessage {
		return c.CodecV2.Unmarshal(data, to)
	}
	buffer := data.MaterializeToBuffer(c.pool)
	defer buffer.Free()
	return proto.Unmarshal(buffer.ReadOnlyData(), message)
}
