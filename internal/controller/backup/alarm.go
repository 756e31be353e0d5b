package backup

// etcdAlarms are those that etcd raises, by their names there.
var etcdAlarms = []string{"NOSPACE", "CORRUPT"}

// alarmMessage says what an alarm of etcd means, and what is done about it: that is the space
// controller's and the cluster controller's.
func alarmMessage(alarm string, highlyAvailable bool) string {
	switch {
	case alarm == "NOSPACE":
		return "etcd has raised the alarm NOSPACE: it stores as much as it may, and takes no writes. Room is being made"
	case alarm == "CORRUPT" && highlyAvailable:
		return "etcd has raised the alarm CORRUPT: its members hold different data, and it is not read or written. A member that differs from the two others is made anew"
	case alarm == "CORRUPT":
		return "etcd has raised the alarm CORRUPT, and is not read or written. It has one member, so that nothing is done by itself: have the backups back"
	default:
		return "etcd has raised the alarm " + alarm
	}
}
