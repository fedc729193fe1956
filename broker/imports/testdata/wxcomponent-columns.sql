/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: wxcomponent
-- ------------------------------------------------------
-- Server version	10.11.19-MariaDB-0+deb12u1

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;

--
-- Dumping data for table `authorizers`
--

LOCK TABLES `authorizers` WRITE;
/*!40000 ALTER TABLE `authorizers` DISABLE KEYS */;
INSERT INTO `authorizers` (`id`, `appid`, `apptype`, `servicetype`, `nickname`, `username`, `headimg`, `qrcodeurl`, `principalname`, `refreshtoken`, `funcinfo`, `verifyinfo`, `authtime`, `updatetime`) VALUES (1,'wxa000000000000001',0,0,'O\'Brien, (café); \\','','','','甲公司','refreshtoken@@@wxcomponent-wxa000000000000001-RRRRRRRRRRRRRRRR','',-1,'2026-01-02 03:04:05','2026-11-29 16:03:00');
INSERT INTO `authorizers` (`id`, `appid`, `apptype`, `servicetype`, `nickname`, `username`, `headimg`, `qrcodeurl`, `principalname`, `refreshtoken`, `funcinfo`, `verifyinfo`, `authtime`, `updatetime`) VALUES (2,'wxa000000000000002',0,0,'','','','','','refreshtoken@@@wxcomponent-wxa000000000000002-RRRRRRRRRRRRRRRR','',-1,'2026-01-02 03:04:05','2026-11-29 16:03:00');
INSERT INTO `authorizers` (`id`, `appid`, `apptype`, `servicetype`, `nickname`, `username`, `headimg`, `qrcodeurl`, `principalname`, `refreshtoken`, `funcinfo`, `verifyinfo`, `authtime`, `updatetime`) VALUES (3,'wxa000000000000003',0,0,'三','','','','','refreshtoken@@@wxcomponent-wxa000000000000003-RRRRRRRRRRRRRRRR','',-1,'2026-01-02 03:04:05','2026-11-29 16:03:00');
INSERT INTO `authorizers` (`id`, `appid`, `apptype`, `servicetype`, `nickname`, `username`, `headimg`, `qrcodeurl`, `principalname`, `refreshtoken`, `funcinfo`, `verifyinfo`, `authtime`, `updatetime`) VALUES (4,'wxa000000000000009',0,0,'gone','','','','','','',-1,'2020-01-02 03:04:05','2026-11-29 16:03:00');
/*!40000 ALTER TABLE `authorizers` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Dumping data for table `comm`
--

LOCK TABLES `comm` WRITE;
/*!40000 ALTER TABLE `comm` DISABLE KEYS */;
INSERT INTO `comm` (`key`, `value`, `createtime`, `updatetime`) VALUES ('secret','c2VjcmV0','2026-11-29 16:03:00','2026-11-29 16:03:00');
INSERT INTO `comm` (`key`, `value`, `createtime`, `updatetime`) VALUES ('ticket','ticket@@@wxcomponent-TTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT','2026-11-29 16:03:00','2026-11-29 16:03:00');
/*!40000 ALTER TABLE `comm` ENABLE KEYS */;
UNLOCK TABLES;

--
-- Dumping data for table `wxtoken`
--

LOCK TABLES `wxtoken` WRITE;
/*!40000 ALTER TABLE `wxtoken` DISABLE KEYS */;
INSERT INTO `wxtoken` (`id`, `type`, `appid`, `token`, `expiretime`, `createtime`, `updatetime`) VALUES (1,2,'wx7f00c0de00000001','61_component-token-of-wxcomponent-CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC','2026-11-29 18:00:00','2026-11-29 16:03:00','2026-11-29 16:03:00');
INSERT INTO `wxtoken` (`id`, `type`, `appid`, `token`, `expiretime`, `createtime`, `updatetime`) VALUES (2,1,'wxa000000000000001','61_access','2026-11-29 18:00:00','2026-11-29 16:03:00','2026-11-29 16:03:00');
/*!40000 ALTER TABLE `wxtoken` ENABLE KEYS */;
UNLOCK TABLES;

/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed on 2026-11-29 18:39:10
