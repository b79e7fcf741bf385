# What nova-compute needs to attach volumes: the controller's share (cinder.sh), over SFTP where
# nova mounts it by NFS. Runs on a compute node.
cat >/usr/sbin/mount.nfs <<'MOUNT'
#!/bin/sh
# Started by systemd: what nova-compute starts by itself ends when that is restarted.
exec systemd-run --quiet --collect --service-type=forking \
    sshfs -o directport=2049,allow_other,dcache_timeout=1 "$1" "$2"
MOUNT
chmod 755 /usr/sbin/mount.nfs
