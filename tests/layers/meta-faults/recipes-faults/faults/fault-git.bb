# A commit that the repository does not have.
inherit fault
FAULTS_GIT ??= "/no/repository"
SRC_URI = "git://${FAULTS_GIT};protocol=file;branch=main"
SRCREV = "1111111111111111111111111111111111111111"
