/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * ublk_cmd.h - the kernel's public ublk ABI: what goes over /dev/ublk-control and /dev/ublkcN.
 *
 * Our own writing of the facts in the kernel's linux/ublk_cmd.h, with the first kernel that has
 * each, so that everything builds with headers older than the running kernel's. A flag or command
 * that a kernel does not know is found out at run time: ADD_DEV returns the flags it granted
 * (older kernels drop unknown ones without a word), GET_FEATURES (6.5) lists them.
 */
#ifndef UBLK_CMD_H
#define UBLK_CMD_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * --- control commands: the SQE128's 80 command bytes hold a ublksrv_ctrl_cmd -------------------
 */

struct ublksrv_ctrl_cmd {
	__u32 dev_id;
	__u16 queue_id; /* (u16)-1 unless the command is about a queue */
	__u16 len;	/* of the buffer at addr */
	__u64 addr;
	__u64 data[1];
	__u16 dev_path_len;
	__u16 pad;
	__u32 reserved;
};

#define UBLK_U_CMD_GET_QUEUE_AFFINITY  _IOR('u', 0x01, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_DEV_INFO	       _IOR('u', 0x02, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_ADD_DEV	       _IOWR('u', 0x04, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_DEL_DEV	       _IOWR('u', 0x05, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_DEV	       _IOWR('u', 0x06, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_STOP_DEV	       _IOWR('u', 0x07, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_SET_PARAMS	       _IOWR('u', 0x08, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_PARAMS	       _IOR('u', 0x09, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_USER_RECOVERY _IOWR('u', 0x10, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_END_USER_RECOVERY   _IOWR('u', 0x11, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_DEV_INFO2       _IOR('u', 0x12, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_FEATURES	       _IOR('u', 0x13, struct ublksrv_ctrl_cmd)	 /* 6.5 */
#define UBLK_U_CMD_DEL_DEV_ASYNC       _IOR('u', 0x14, struct ublksrv_ctrl_cmd)	 /* 6.7 */
#define UBLK_U_CMD_UPDATE_SIZE	       _IOWR('u', 0x15, struct ublksrv_ctrl_cmd) /* 6.16 */
#define UBLK_U_CMD_QUIESCE_DEV	       _IOWR('u', 0x16, struct ublksrv_ctrl_cmd) /* 6.16 */
#define UBLK_U_CMD_TRY_STOP_DEV	       _IOWR('u', 0x17, struct ublksrv_ctrl_cmd) /* 7.0 */

#define UBLK_FEATURES_LEN	       8

/* Feature flags: asked for in ADD_DEV, what was granted is returned there. */
#define UBLK_F_SUPPORT_ZERO_COPY      (1ULL << 0) /* 6.15 */
#define UBLK_F_URING_CMD_COMP_IN_TASK (1ULL << 1)
#define UBLK_F_NEED_GET_DATA	      (1ULL << 2)
#define UBLK_F_USER_RECOVERY	      (1ULL << 3)
#define UBLK_F_USER_RECOVERY_REISSUE  (1ULL << 4)
#define UBLK_F_UNPRIVILEGED_DEV	      (1ULL << 5)
#define UBLK_F_CMD_IOCTL_ENCODE	      (1ULL << 6)
#define UBLK_F_USER_COPY	      (1ULL << 7) /* 6.5 */
#define UBLK_F_ZONED		      (1ULL << 8)
#define UBLK_F_USER_RECOVERY_FAIL_IO  (1ULL << 9)
#define UBLK_F_UPDATE_SIZE	      (1ULL << 10) /* 6.16 */
#define UBLK_F_AUTO_BUF_REG	      (1ULL << 11) /* 6.16 */
#define UBLK_F_QUIESCE		      (1ULL << 12) /* 6.16 */
#define UBLK_F_PER_IO_DAEMON	      (1ULL << 13) /* 6.17 */
#define UBLK_F_BUF_REG_OFF_DAEMON     (1ULL << 14)
#define UBLK_F_BATCH_IO		      (1ULL << 15) /* 7.0 */
#define UBLK_F_INTEGRITY	      (1ULL << 16)
#define UBLK_F_SAFE_STOP_DEV	      (1ULL << 17) /* 7.0: TRY_STOP_DEV */
#define UBLK_F_NO_AUTO_PART_SCAN      (1ULL << 18) /* 7.0 */
#define UBLK_F_SHMEM_ZC		      (1ULL << 19)
#define UBLK_F_IO_DESC_SIZE	      (1ULL << 20) /* io_desc_size says how large a descriptor is */

/* Device states, in ublksrv_ctrl_dev_info.state. */
#define UBLK_S_DEV_DEAD	    0
#define UBLK_S_DEV_LIVE	    1
#define UBLK_S_DEV_QUIESCED 2
#define UBLK_S_DEV_FAIL_IO  3

struct ublksrv_ctrl_dev_info {
	__u16 nr_hw_queues;
	__u16 queue_depth;
	__u16 state;
	__u16 io_desc_size; /* of a driver that knows UBLK_F_IO_DESC_SIZE, and ours; else padding */
	__u32 max_io_buf_bytes;
	__u32 dev_id;
	__s32 ublksrv_pid;
	__u32 pad1;
	__u64 flags;
	__u64 ublksrv_flags; /* the server's own; the driver keeps it and does not look */
	__u32 owner_uid;
	__u32 owner_gid;
	__u64 reserved1;
	__u64 reserved2;
};

#define UBLK_ATTR_READ_ONLY	 (1u << 0)
#define UBLK_ATTR_ROTATIONAL	 (1u << 1)
#define UBLK_ATTR_VOLATILE_CACHE (1u << 2)
#define UBLK_ATTR_FUA		 (1u << 3)

struct ublk_param_basic {
	__u32 attrs;
	__u8 logical_bs_shift;
	__u8 physical_bs_shift;
	__u8 io_opt_shift;
	__u8 io_min_shift;
	__u32 max_sectors;
	__u32 chunk_sectors;
	__u64 dev_sectors;
	__u64 virt_boundary_mask;
};

struct ublk_param_discard {
	__u32 discard_alignment;
	__u32 discard_granularity;
	__u32 max_discard_sectors;
	__u32 max_write_zeroes_sectors;
	__u16 max_discard_segments;
	__u16 reserved0;
};

/* Read back only, after START_DEV. */
struct ublk_param_devt {
	__u32 char_major;
	__u32 char_minor;
	__u32 disk_major;
	__u32 disk_minor;
};

struct ublk_param_zoned {
	__u32 max_open_zones;
	__u32 max_active_zones;
	__u32 max_zone_append_sectors;
	__u8 reserved[20];
};

struct ublk_param_dma_align {
	__u32 alignment;
	__u8 pad[4];
};

struct ublk_param_segment {
	__u64 seg_boundary_mask;
	__u32 max_segment_size;
	__u16 max_segments;
	__u8 pad[2];
};

#define UBLK_PARAM_TYPE_BASIC	  (1u << 0)
#define UBLK_PARAM_TYPE_DISCARD	  (1u << 1)
#define UBLK_PARAM_TYPE_DEVT	  (1u << 2)
#define UBLK_PARAM_TYPE_ZONED	  (1u << 3)
#define UBLK_PARAM_TYPE_DMA_ALIGN (1u << 4) /* 6.14 */
#define UBLK_PARAM_TYPE_SEGMENT	  (1u << 5) /* 6.15 */
#define UBLK_PARAM_TYPE_INTEGRITY                                                                  \
	(1u << 6) /* 7.0; its structure is not here: no part of ours asks for it */

struct ublk_params {
	__u32 len; /* of the whole structure; a driver with a shorter one takes that much */
	__u32 types;
	struct ublk_param_basic basic;
	struct ublk_param_discard discard;
	struct ublk_param_devt devt;
	struct ublk_param_zoned zoned;
	struct ublk_param_dma_align dma;
	struct ublk_param_segment seg;
};

/*
 * --- I/O commands: an SQE's 16 command bytes hold a ublksrv_io_cmd -----------------------------
 */

struct ublksrv_io_cmd {
	__u16 q_id;
	__u16 tag;
	__s32 result; /* COMMIT: bytes done, or -errno */
	__u64 addr;   /* FETCH: buffer of this tag; 0 with USER_COPY */
};

#define UBLK_U_IO_FETCH_REQ	       _IOWR('u', 0x20, struct ublksrv_io_cmd)
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ _IOWR('u', 0x21, struct ublksrv_io_cmd)
#define UBLK_U_IO_NEED_GET_DATA	       _IOWR('u', 0x22, struct ublksrv_io_cmd)

/* What a FETCH completes with. */
#define UBLK_IO_RES_OK		  0
#define UBLK_IO_RES_NEED_GET_DATA 1
#define UBLK_IO_RES_ABORT	  (-ENODEV) /* no request, and no more will come under this tag */

/* Offsets in /dev/ublkcN: descriptors by mmap, request data by pread and pwrite (USER_COPY). */
#define UBLKSRV_CMD_BUF_OFFSET	     0
#define UBLKSRV_IO_BUF_OFFSET	     0x80000000ULL
#define UBLK_MAX_QUEUE_DEPTH	     4096
#define UBLK_IO_BUF_BITS	     25 /* a request's data is at most 32 MiB */
#define UBLK_TAG_OFF		     UBLK_IO_BUF_BITS
#define UBLK_TAG_BITS		     16
#define UBLK_QID_OFF		     (UBLK_TAG_OFF + UBLK_TAG_BITS)
#define UBLK_QID_BITS		     12

#define UBLK_IO_OP_READ		     0
#define UBLK_IO_OP_WRITE	     1
#define UBLK_IO_OP_FLUSH	     2
#define UBLK_IO_OP_DISCARD	     3
#define UBLK_IO_OP_WRITE_SAME	     4
#define UBLK_IO_OP_WRITE_ZEROES	     5

#define UBLK_IO_F_FAILFAST_DEV	     (1u << 8)
#define UBLK_IO_F_FAILFAST_TRANSPORT (1u << 9)
#define UBLK_IO_F_FAILFAST_DRIVER    (1u << 10)
#define UBLK_IO_F_META		     (1u << 11)
#define UBLK_IO_F_FUA		     (1u << 13)
#define UBLK_IO_F_NOUNMAP	     (1u << 15)
#define UBLK_IO_F_SWAP		     (1u << 16)

/*
 * One per tag in the descriptor area; written by the driver before it completes the tag's command.
 */
struct ublksrv_io_desc {
	__u32 op_flags; /* bits 0-7 UBLK_IO_OP_*, the rest UBLK_IO_F_* where they stand above */
	__u32 nr_sectors;
	__u64 start_sector;
	__u64 addr;
};

#endif
