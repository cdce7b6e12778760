// SPDX-License-Identifier: GPL-2.0
/* permission.c - the path check of unprivileged devices. */
#include <linux/capability.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "permission.h"

int ublk_permission_add(u64 flags)
{
	return flags & UBLK_F_UNPRIVILEGED_DEV || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

/* The buffer's first bytes are the path, not ended by a zero. */
static int ublk_permission_check_path(const struct ublk_device *device,
				      const struct ublksrv_ctrl_cmd *command, int mask)
{
	struct path path;
	struct inode *inode;
	char *name;
	int result;

	name = memdup_user_nul(u64_to_user_ptr(command->addr), command->dev_path_len);
	if (IS_ERR(name))
		return PTR_ERR(name);
	result = kern_path(name, LOOKUP_FOLLOW, &path);
	kfree(name);
	if (result)
		return result;
	inode = d_backing_inode(path.dentry);
	if (!S_ISCHR(inode->i_mode) || inode->i_rdev != device->dev.devt)
		result = -EINVAL;
	/* A filesystem of the caller's own may show any device's number, and permit everything. */
	else if (path.mnt->mnt_flags & MNT_NODEV || path.mnt->mnt_sb->s_iflags & SB_I_NODEV)
		result = -EACCES;
	else
		result = compat_path_permission(&path, mask);
	path_put(&path);
	return result;
}

static int ublk_permission_mask_of(u32 opcode)
{
	switch (opcode) {
	case UBLK_U_CMD_GET_DEV_INFO:
	case UBLK_U_CMD_GET_DEV_INFO2:
	case UBLK_U_CMD_GET_QUEUE_AFFINITY:
	case UBLK_U_CMD_GET_PARAMS:
		return MAY_READ;
	}
	return MAY_READ | MAY_WRITE;
}

int ublk_permission_check(const struct ublk_device *device, u32 opcode,
			  struct ublksrv_ctrl_cmd *command)
{
	bool admin = capable(CAP_SYS_ADMIN);
	int result;

	if (!admin && !ublk_device_has(device, UBLK_F_UNPRIVILEGED_DEV))
		return -EPERM;
	if (!command->dev_path_len)
		return admin ? 0 : -EINVAL;
	if (command->dev_path_len > PATH_MAX || command->dev_path_len > command->len)
		return -EINVAL;
	result = ublk_permission_check_path(device, command, ublk_permission_mask_of(opcode));
	if (result)
		return result;
	command->addr += command->dev_path_len;
	command->len -= command->dev_path_len;
	return 0;
}
